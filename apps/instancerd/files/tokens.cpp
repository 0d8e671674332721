// SPDX-License-Identifier: MIT
#include "files/tokens.hpp"

#include <algorithm>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/identity.hpp>

#include "daemon/system.hpp"
#include "files/lines.hpp"

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

bool has_blank(std::string_view line) { return line.find_first_of(" \t") != line.npos; }

}  // namespace

Parsed<std::vector<std::string>> parse_tokens(std::string_view text, const std::string& file, Auth auth)
{
    auto tokens = parse_lines<std::string>(
        text, file, Comments::whole_line, [auth](std::string_view line, const auto&) -> Parsed<std::string> {
            auto token = auth == Auth::prompt ? parse_typed_token(line) : parse_token(line);
            if (!token && has_blank(line))
                return wrong(token.error() + "; a remark belongs on a line of its own, after #");
            return token;
        });
    if (tokens && tokens->empty())
        return wrong(file + ": holds no token; write one a line" +
                     (auth == Auth::prompt ? "" : ", 128 characters, or hex: and 256 digits"));
    return tokens;
}

Owners owners_of(const std::string& service, const std::vector<std::string>& tokens)
{
    Owners owners;
    for (const auto& token : tokens)
        owners.emplace(Identity(service, token, {}).owner().hex(), std::string());
    return owners;
}

Parsed<std::vector<std::string>> load_tokens(const std::string& file, Auth auth)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_tokens(*text, file, auth);
}

std::string remark_on_tokens(const std::string& file, Auth auth)
{
    // Passphrases that are typed have blanks.
    const auto text = auth == Auth::prompt ? wrong("") : read_file(file);
    if (!text)
        return {};
    const auto lines = lines_of(*text, Comments::whole_line);
    const auto found = std::find_if(lines.begin(), lines.end(), [](const auto& line) { return has_blank(line.text); });
    if (found == lines.end())
        return {};
    return found->problem(file, "the token holds a blank, which clients have to send as well; a remark belongs on a "
                                "line of its own, after #");
}

}  // namespace instancer::daemon
