// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace instancer::detail {

/// Tells a silent end of a link from one that is gone: after a time without traffic it is asked for a sign of life.
class KeepAlive {
public:
    using Clock = std::chrono::steady_clock;
    using TimePoint = Clock::time_point;
    using Duration = Clock::duration;

    enum class Due {
        nothing,
        question,  ///< The other end is to be asked, now.
        end,       ///< It gave no sign of life after it was asked.
    };

    KeepAlive(Duration interval, Duration answer_timeout, TimePoint now)
        : interval_(interval), answer_timeout_(answer_timeout), last_traffic_(now)
    {
    }

    void sent(TimePoint now) noexcept { last_traffic_ = std::max(last_traffic_, now); }

    /// Any byte is a sign of life.
    void received(TimePoint now) noexcept
    {
        last_traffic_ = now;
        waiting_since_.reset();
    }

    TimePoint next_deadline() const noexcept
    {
        return waiting_since_ ? *waiting_since_ + answer_timeout_ : last_traffic_ + interval_;
    }

    /// `is_read`: whether the link is read at all, so that a sign of life would be noticed.
    Due advance(TimePoint now, bool is_read) noexcept
    {
        if (!is_read)
            waiting_since_.reset();
        if (now < next_deadline())
            return Due::nothing;
        if (waiting_since_)
            return Due::end;
        waiting_since_ = asked_ = now;
        return Due::question;
    }

    /// The question itself was answered: how long that took. Empty when none was open.
    std::optional<Duration> answered(TimePoint now) noexcept
    {
        const auto asked = std::exchange(asked_, std::nullopt);
        return asked ? std::optional(now - *asked) : std::nullopt;
    }

private:
    Duration interval_, answer_timeout_;
    TimePoint last_traffic_;
    std::optional<TimePoint> waiting_since_;  ///< For a sign of life.
    std::optional<TimePoint> asked_;          ///< When the question was asked that has yet to be answered.
};

}  // namespace instancer::detail
