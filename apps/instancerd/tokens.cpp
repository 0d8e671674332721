// SPDX-License-Identifier: MIT
#include "tokens.hpp"

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/identity.hpp>

#include "system.hpp"

namespace instancer::daemon {

namespace {

Parsed<std::string> parse_token(std::string_view line)
{
    if (line.substr(0, 4) == "hex:") {
        const auto bytes = parse_hex(line.substr(4), 2 * Token::size);
        return bytes ? bytes : wrong("after hex: " + bytes.error());
    }
    if (line.size() == Token::size)
        return std::string(line);
    return wrong("has " + std::to_string(line.size()) +
                 " characters; a token has 128, or is written hex: and 256 digits");
}

Parsed<std::string> parse_typed_token(std::string_view line)
{
    if (line.size() <= PromptAuthenticator::max_token)
        return std::string(line);
    return wrong("has " + std::to_string(line.size()) + " characters; a token has at most " +
                 std::to_string(PromptAuthenticator::max_token));
}

}  // namespace

Parsed<std::vector<std::string>> parse_tokens(std::string_view text, const std::string& file, Auth auth)
{
    std::vector<std::string> tokens;
    int number = 0;
    for (std::string_view rest = text; !rest.empty();) {
        ++number;
        auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!line.empty() && line.back() == '\r')
            line.remove_suffix(1);
        if (line.empty() || line.front() == '#')
            continue;

        auto token = auth == Auth::prompt ? parse_typed_token(line) : parse_token(line);
        if (!token)
            return wrong(file + ":" + std::to_string(number) + ": " + token.error());
        tokens.push_back(std::move(*token));
    }
    if (tokens.empty())
        return wrong(file + ": holds no token; write one a line" +
                     (auth == Auth::prompt ? "" : ", 128 characters, or hex: and 256 digits"));
    return tokens;
}

std::set<std::string> owners_of(const std::string& service, const std::vector<std::string>& tokens)
{
    std::set<std::string> owners;
    for (const auto& token : tokens)
        owners.insert(Identity(service, token, {}).owner().hex());
    return owners;
}

Parsed<std::vector<std::string>> load_tokens(const std::string& file, Auth auth)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_tokens(*text, file, auth);
}

}  // namespace instancer::daemon
