// SPDX-License-Identifier: MIT
#include "tokens.hpp"

#include "system.hpp"

namespace instancer::daemon {

Parsed<std::vector<Token>> parse_tokens(std::string_view text, const std::string& file)
{
    std::vector<Token> tokens;
    int number = 0;
    for (std::string_view rest = text; !rest.empty();) {
        ++number;
        auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!line.empty() && line.back() == '\r')
            line.remove_suffix(1);
        if (line.empty() || line.front() == '#')
            continue;

        const auto place = file + ":" + std::to_string(number) + ": ";
        if (line.substr(0, 4) == "hex:") {
            const auto bytes = parse_hex(line.substr(4), 2 * Token::size);
            if (!bytes)
                return wrong(place + "after hex: " + bytes.error());
            tokens.emplace_back(*bytes);
        } else if (line.size() == Token::size) {
            tokens.emplace_back(line);
        } else {
            return wrong(place + "has " + std::to_string(line.size()) +
                         " characters; a token has 128, or is written hex: and 256 digits");
        }
    }
    if (tokens.empty())
        return wrong(file + ": holds no token; write one a line, 128 characters, or hex: and 256 digits");
    return tokens;
}

Parsed<std::vector<Token>> load_tokens(const std::string& file)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_tokens(*text, file);
}

}  // namespace instancer::daemon
