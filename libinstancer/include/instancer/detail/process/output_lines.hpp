// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/detail/text/line_splitter.hpp>

namespace instancer::detail {

/// What an instance says to the operator, line by line. One that writes without end does not fill the log: beyond a
/// number of bytes in a second, lines are counted instead of reported, and the next one that is tells how many.
class OutputLines {
public:
    using Clock = std::chrono::steady_clock;
    using Report = std::function<void(std::string_view)>;

    explicit OutputLines(Report report, std::size_t bytes_per_second = 64 * 1024)
        : report_(std::move(report)), limit_(bytes_per_second)
    {
    }

    void feed(std::string_view bytes, Clock::time_point now = Clock::now())
    {
        lines_.feed(bytes, [&](std::string_view line) { pass(line, now); });
    }

    /// No more comes; the last line may lack its end.
    void finish(Clock::time_point now = Clock::now())
    {
        lines_.finish([&](std::string_view line) { pass(line, now); });
        report_omitted();
    }

private:
    static constexpr std::size_t line_overhead = 64;  ///< What a log adds to a line: time, level, names.

    void pass(std::string_view line, Clock::time_point now)
    {
        if (now - second_ >= std::chrono::seconds(1)) {
            second_ = now;
            used_ = 0;
        }
        used_ += line.size() + line_overhead;
        if (used_ > limit_) {
            ++omitted_lines_;
            omitted_bytes_ += line.size();
            return;
        }
        report_omitted();
        report_(line);
    }

    void report_omitted()
    {
        const auto lines = std::exchange(omitted_lines_, 0);
        const auto bytes = std::exchange(omitted_bytes_, 0);
        if (lines != 0)
            report_("(" + std::to_string(lines) + " lines of " + std::to_string(bytes) +
                    " bytes omitted: too many in a second)");
    }

    LineSplitter lines_;
    Report report_;
    std::size_t limit_;
    std::size_t used_ = 0;
    std::size_t omitted_lines_ = 0;
    std::size_t omitted_bytes_ = 0;
    Clock::time_point second_{};
};

}  // namespace instancer::detail
