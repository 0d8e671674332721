// SPDX-License-Identifier: MIT
#include "files/tokens.hpp"

#include <algorithm>
#include <map>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/identity.hpp>

#include "daemon/system.hpp"
#include "files/lines.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view hex_mark = "hex:";

/// Where the label begins behind a token of a greeting, which may hold tabs itself.
std::size_t end_of_token(std::string_view line)
{
    if (line.starts_with(hex_mark))
        return line.find('\t');
    return line.size() > Token::size && line[Token::size] == '\t' ? Token::size : line.npos;
}

/// Where the label begins behind a token that is typed: blanks around it do not count.
std::size_t end_of_typed_token(std::string_view line)
{
    return line.find('\t', std::min(line.find_first_not_of(" \t"), line.size()));
}

Parsed<std::string> parse_token(std::string_view text)
{
    if (text.starts_with(hex_mark)) {
        const auto bytes = parse_hex(text.substr(hex_mark.size()), 2 * Token::size);
        return bytes ? bytes : wrong("after hex: " + bytes.error());
    }
    if (text.size() == Token::size)
        return std::string(text);
    return wrong("has " + std::to_string(text.size()) +
                 " characters; a token has 128, or is written hex: and 256 digits");
}

/// Blanks around it are none of it: nobody has to type them.
Parsed<std::string> parse_typed_token(std::string_view line)
{
    const auto text = trimmed(line);
    if (text.size() <= PromptAuthenticator::max_token)
        return std::string(text);
    return wrong("has " + std::to_string(text.size()) + " characters; a token has at most " +
                 std::to_string(PromptAuthenticator::max_token));
}

bool has_blank(std::string_view line) { return line.find_first_of(" \t") != line.npos; }

Parsed<ListedToken> parse_line(std::string_view line, bool typed)
{
    const auto end = std::min(typed ? end_of_typed_token(line) : end_of_token(line), line.size());
    auto token = typed ? parse_typed_token(line.substr(0, end)) : parse_token(line.substr(0, end));
    if (!token && has_blank(line))
        return wrong(token.error() + "; a remark belongs on a line of its own, after #");
    if (!token)
        return wrong(token.error());
    return ListedToken(std::move(*token), std::string(trimmed(line.substr(end))));
}

/// Which token comes twice, by its lines in `file`; empty where none does.
std::string remark_on_repetition(const std::vector<Line>& lines, const std::string& file, bool typed)
{
    std::map<std::string, int> numbers;
    for (const auto& line : lines) {
        const auto token = parse_line(line.text, typed);
        if (!token || token->secret().empty())
            continue;
        const auto [first, fresh] = numbers.emplace(token->secret(), line.number);
        if (!fresh)
            return line.problem(file,
                                "the token of line " + std::to_string(first->second) +
                                    " again: the name of its owner comes from there; remove one of the two lines");
    }
    return {};
}

}  // namespace

Parsed<std::vector<ListedToken>> parse_tokens(std::string_view text, const std::string& file, Auth auth)
{
    const bool typed = auth == Auth::prompt;
    auto tokens =
        parse_lines<ListedToken>(text, file, Comments::whole_line,
                                 [typed](std::string_view line, const auto&) { return parse_line(line, typed); });
    // Nobody types a line of blanks to be let in.
    if (tokens)
        std::erase_if(*tokens, [](const auto& token) { return token.secret().empty(); });
    if (tokens && tokens->empty())
        return wrong(file + ": holds no token; write one a line" +
                     (auth == Auth::prompt ? "" : ", 128 characters, or hex: and 256 digits"));
    return tokens;
}

Owners owners_of(const std::string& service, const std::vector<ListedToken>& tokens)
{
    Owners owners;
    for (const auto& token : tokens)
        owners.emplace(Identity(service, token.secret(), {}).owner().hex(), token.label());
    return owners;
}

Parsed<std::vector<ListedToken>> load_tokens(const std::string& file, Auth auth)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_tokens(*text, file, auth);
}

std::string remark_on_tokens(const std::string& file, Auth auth)
{
    const auto text = read_file(file);
    if (!text)
        return {};
    const bool typed = auth == Auth::prompt;
    const auto is_doubtful = [typed](const auto& line) {
        // A passphrase may have blanks, and a tab behind it says that they are meant.
        return typed ? end_of_typed_token(line.text) == line.text.npos && has_blank(trimmed(line.text))
                     : has_blank(line.text.substr(0, end_of_token(line.text)));
    };
    const auto lines = lines_of(*text, Comments::whole_line);
    const auto found = std::find_if(lines.begin(), lines.end(), is_doubtful);
    if (found == lines.end())
        return remark_on_repetition(lines, file, typed);
    return found->problem(file, typed ? "the token holds a blank, which clients have to type as well; write a tab "
                                        "between a token and its name, or behind a token with blanks"
                                      : "the token holds a blank, which clients have to send as well; a remark belongs "
                                        "on a line of its own, after #");
}

}  // namespace instancer::daemon
