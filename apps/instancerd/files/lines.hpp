// SPDX-License-Identifier: MIT
// The one reader of files that hold one thing a line.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/system.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

/// Where `#` starts a comment.
enum class Comments {
    anywhere,    ///< Blanks around the rest do not count.
    whole_line,  ///< Only as the first character: all else of the line counts, blanks and further ones included.
};

/// `text` without blanks around it.
std::string_view trimmed(std::string_view text);

/// A line that says something.
class Line {
public:
    Line(int line_number, std::string_view line) : number(line_number), text(line) {}

    /// `FILE:LINE: problem`
    std::string problem(const std::string& file, const std::string& what) const
    {
        return file + ":" + std::to_string(number) + ": " + what;
    }

    int number;
    std::string_view text;
};

/// The lines of `text` without comments, either kind of line end, and those that then are empty.
std::vector<Line> lines_of(std::string_view text, Comments comments);

/// Reads one thing from a line, knowing those of the lines before.
template <class T>
using ParseLine = std::function<Parsed<T>(std::string_view line, const std::vector<T>& before)>;

/// One thing from each line. The error names `file` and the line.
template <class T>
Parsed<std::vector<T>> parse_lines(std::string_view text, const std::string& file, Comments comments,
                                   const ParseLine<T>& parse)
{
    std::vector<T> all;
    for (const auto& line : lines_of(text, comments)) {
        auto one = parse(line.text, all);
        if (!one)
            return wrong(line.problem(file, one.error()));
        all.push_back(std::move(*one));
    }
    return all;
}

}  // namespace instancer::daemon
