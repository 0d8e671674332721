// SPDX-License-Identifier: MIT
#include "files/lines.hpp"

#include <algorithm>

namespace instancer::daemon {

namespace {

std::string_view content_of(std::string_view line, Comments comments)
{
    if (comments == Comments::anywhere)
        return trimmed(line.substr(0, line.find('#')));
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    return line.starts_with('#') ? std::string_view() : line;
}

}  // namespace

std::string_view trimmed(std::string_view text)
{
    constexpr std::string_view blanks = " \t\r";
    const auto begin = std::min(text.find_first_not_of(blanks), text.size());
    return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::vector<Line> lines_of(std::string_view text, Comments comments)
{
    std::vector<Line> lines;
    for (int number = 1; !text.empty(); ++number) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (const auto content = content_of(line, comments); !content.empty())
            lines.emplace_back(number, content);
    }
    return lines;
}

}  // namespace instancer::daemon
