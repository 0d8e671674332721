// SPDX-License-Identifier: MIT
#include "authentication/signed/key_file.hpp"

#include <algorithm>

#include <instancer/text/hex.hpp>

#include "daemon/system.hpp"

namespace instancer::daemon {

namespace {

std::string_view without_line_end(std::string_view text)
{
    for (const char end : {'\n', '\r'})
        if (text.ends_with(end))
            text.remove_suffix(1);
    return text;
}

/// OpenSSH's keys, JSON Web Keys, and the Base64 of what PEM has between its lines.
bool looks_public(std::string_view text)
{
    constexpr std::string_view beginnings[] = {"ssh-", "ecdsa-", "{", "MCow", "MIIB", "MFkw"};
    return std::any_of(std::begin(beginnings), std::end(beginnings),
                       [&](auto beginning) { return text.starts_with(beginning); });
}

/// None where it is right.
std::string problem_with_secret(std::string_view text)
{
    if (looks_public(text))
        return "looks like a public key; write it as PEM, as openssl pkey -pubout does";
    if (!text.empty() && from_hex(text))
        return "holds digits without hex: before them; write hex: if they are a shared secret, and a public key as PEM";
    return {};
}

template <class T>
Parsed<T> named(Result<T> result, const std::string& file)
{
    if (!result)
        return wrong(file + ": holds " + result.error().text());
    return std::move(*result);
}

}  // namespace

Parsed<SigningKey> parse_signing_key(std::string_view text, const std::string& file)
{
    constexpr std::string_view hex_mark = "hex:";
    if (text.find("PRIVATE KEY-----") != text.npos)
        return wrong(file + ": holds a private key, which only the signer needs; name a file with the public one "
                            "(openssl pkey -pubout)");
    constexpr std::string_view begin = "-----BEGIN";
    if (text.find(begin) != text.rfind(begin))
        return wrong(file + ": holds several keys, of which only one would count; write each into a file of its own, "
                            "and name them all");
    if (text.find(begin) != text.npos)
        return named(SigningKey::from_pem(text), file);
    const auto line = without_line_end(text);
    if (line.find('\n') != line.npos)
        return wrong(file +
                     ": holds several lines; write one secret into it, as hex: and digits if it holds line ends, "
                     "and name a file for each");
    if (line.starts_with(hex_mark)) {
        const auto bytes = from_hex(line.substr(hex_mark.size()));
        if (!bytes)
            return wrong(file + ": after hex: stand other characters than pairs of hexadecimal digits");
        return named(SigningKey::shared_secret(*bytes), file);
    }
    if (const auto problem = problem_with_secret(line); !problem.empty())
        return wrong(file + ": " + problem);
    return named(SigningKey::shared_secret(line), file);
}

Parsed<std::vector<SigningKey>> load_signing_keys(const std::vector<std::string>& files)
{
    std::vector<SigningKey> keys;
    for (const auto& file : files) {
        const auto text = read_file(file);
        if (!text)
            return wrong(text.error());
        auto key = parse_signing_key(*text, file);
        if (!key)
            return wrong(key.error());
        keys.push_back(std::move(*key));
    }
    return keys;
}

}  // namespace instancer::daemon
