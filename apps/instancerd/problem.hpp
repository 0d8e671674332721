// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "text.hpp"

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
    Problem(Place place, std::string text) : place_(std::move(place)), text_(std::move(text)) {}

    const Place& place() const noexcept { return place_; }
    const std::string& text() const noexcept { return text_; }

    /// `FILE:LINE: $.path: text`, or `--option: text` when `file` is empty.
    std::string format(const std::string& file) const
    {
        std::string line = file;
        if (!file.empty() && place_.line() > 0)
            line += ":" + std::to_string(place_.line());
        if (!line.empty())
            line += ": ";
        if (!place_.path().empty())
            line += one_line(place_.path(), 300) + ": ";
        return line + one_line(text_);
    }

private:
    Place place_;
    std::string text_;
};

using Problems = std::vector<Problem>;

}  // namespace instancer::daemon
