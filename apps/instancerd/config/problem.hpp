// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "config/text.hpp"

namespace instancer::daemon {

/// Where the user wrote something: a line and JSON path of the configuration, or an option of the command line.
class Place {
public:
    Place() = default;
    Place(int line, std::string path) : line_(line), path_(std::move(path)) {}

    /// From 1; 0 on the command line.
    int line() const noexcept { return line_; }
    const std::string& path() const noexcept { return path_; }

private:
    int line_ = 0;
    std::string path_;
};

/// What is wrong with what the user wrote there, and the remedy.
class Problem {
public:
    enum class Kind { value, unknown_key };

    Problem(Place place, std::string text, Kind kind = Kind::value)
        : place_(std::move(place)), text_(std::move(text)), kind_(kind)
    {
    }

    const Place& place() const noexcept { return place_; }
    const std::string& text() const noexcept { return text_; }
    Kind kind() const noexcept { return kind_; }

    /// `FILE:LINE: $.path: text`, or `--option: text` for what stands on the command line.
    std::string format(const std::string& file) const
    {
        std::string line;
        if (!file.empty() && place_.line() > 0)
            line = file + ":" + std::to_string(place_.line()) + ": ";
        if (!place_.path().empty())
            line += one_line(place_.path(), 300) + ": ";
        return line + one_line(text_);
    }

private:
    Place place_;
    std::string text_;
    Kind kind_;
};

using Problems = std::vector<Problem>;

/// Unknown keys come first, since a typing error explains what is missed elsewhere; then by line.
inline void sort(Problems& problems)
{
    std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
        const auto order = [](const Problem& problem) {
            return std::pair(problem.kind() != Problem::Kind::unknown_key, problem.place().line());
        };
        return order(a) < order(b);
    });
}

}  // namespace instancer::daemon
