// SPDX-License-Identifier: MIT
#include "files/tokens.hpp"

#include <algorithm>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/identity.hpp>

#include "daemon/system.hpp"

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

/// A line that holds a token, as it is written.
class TokenLine {
public:
    TokenLine(int line_number, std::string_view line) : number(line_number), text(line) {}

    bool has_blank() const { return text.find_first_of(" \t") != text.npos; }

    int number;
    std::string_view text;
};

std::vector<TokenLine> token_lines(std::string_view text)
{
    std::vector<TokenLine> lines;
    int number = 0;
    while (!text.empty()) {
        ++number;
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (!line.empty() && line.back() == '\r')
            line.remove_suffix(1);
        if (!line.empty() && line.front() != '#')
            lines.emplace_back(number, line);
    }
    return lines;
}

}  // namespace

Parsed<std::vector<std::string>> parse_tokens(std::string_view text, const std::string& file, Auth auth)
{
    std::vector<std::string> tokens;
    for (const auto& line : token_lines(text)) {
        auto token = auth == Auth::prompt ? parse_typed_token(line.text) : parse_token(line.text);
        if (!token)
            return wrong(file + ":" + std::to_string(line.number) + ": " + token.error() +
                         (line.has_blank() ? "; a remark belongs on a line of its own, after #" : ""));
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

std::string remark_on_tokens(const std::string& file, Auth auth)
{
    // Passphrases that are typed have blanks.
    const auto text = auth == Auth::prompt ? wrong("") : read_file(file);
    if (!text)
        return {};
    const auto lines = token_lines(*text);
    const auto found = std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.has_blank(); });
    if (found == lines.end())
        return {};
    return file + ":" + std::to_string(found->number) +
           ": the token holds a blank, which clients have to send as well; a remark belongs on a line of its own, "
           "after #";
}

}  // namespace instancer::daemon
