// SPDX-License-Identifier: MIT
// Which limit of time a session has reached, with a clock that the test moves.
#include <doctest/doctest.h>

#include <instancer/detail/server/session_limits.hpp>

using namespace instancer;
using namespace std::chrono_literals;
using instancer::detail::coming_end;
using instancer::detail::passed_limit;

namespace {

using Clock = LinkState::Clock;

/// Nothing ends a session, the delivery of last words included.
ServerOptions without_limits()
{
    ServerOptions options("service");
    options.delivery_timeout = 0s;
    return options;
}

const Clock::time_point begin = Clock::time_point(1h);

}  // namespace

TEST_CASE("session limits: none is ever reached where none is set")
{
    LinkState state;
    state.touch(begin);
    state.half_close(begin);
    state.instance_ended(begin);
    CHECK_FALSE(passed_limit(without_limits(), begin, state, begin + 1000h));
}

TEST_CASE("session limits: each is reached at its time and not before, counted from what it is about")
{
    auto options = without_limits();
    LinkState state;
    auto reason = SessionEnd::idle;
    SUBCASE("the whole session, from the connection on")
    {
        options.session_timeout = 10s;
        state.touch(begin + 9s);
        reason = SessionEnd::too_long;
    }
    SUBCASE("without a byte")
    {
        options.session_idle = 4s;
        state.touch(begin + 6s);
    }
    SUBCASE("half-closed, whatever passes the other way")
    {
        options.half_close_timeout = 4s;
        state.half_close(begin + 6s);
        state.touch(begin + 9s);
        reason = SessionEnd::half_closed;
    }
    SUBCASE("last words that nobody takes")
    {
        options.delivery_timeout = 4s;
        state.touch(begin + 1s);
        state.instance_ended(begin + 6s);
    }
    SUBCASE("last words of which some were taken")
    {
        options.delivery_timeout = 4s;
        state.instance_ended(begin + 1s);
        state.touch(begin + 6s);
    }
    CHECK_FALSE(passed_limit(options, begin, state, begin + 10s - 1ns));
    CHECK(passed_limit(options, begin, state, begin + 10s) == reason);
}

TEST_CASE("session limits: a session that is not joined yet has only its whole time")
{
    auto options = without_limits();
    options.session_idle = options.half_close_timeout = options.delivery_timeout = 1s;
    const LinkState state;
    CHECK_FALSE(passed_limit(options, begin, state, begin + 1h));
    options.session_timeout = 1h;
    CHECK(passed_limit(options, begin, state, begin + 1h) == SessionEnd::too_long);
}

TEST_CASE("session limits: the end that comes next is foreseen, but for those that are not worth a warning")
{
    auto options = without_limits();
    options.warn_before = 5s;
    LinkState state;
    state.touch(begin + 1s);
    CHECK(coming_end(options, begin, state).time == Clock::time_point::max());
    options.session_timeout = 60s;
    CHECK(coming_end(options, begin, state).time == begin + 60s);
    CHECK_FALSE(coming_end(options, begin, state).by_silence);
    options.session_idle = 10s;
    CHECK(coming_end(options, begin, state).time == begin + 11s);
    CHECK(coming_end(options, begin, state).by_silence);
    state.half_close(begin + 2s);
    options.half_close_timeout = 6s;
    CHECK(coming_end(options, begin, state).time == begin + 8s);
    CHECK_FALSE(coming_end(options, begin, state).by_silence);
    options.session_idle = options.half_close_timeout = 5s;
    CHECK(coming_end(options, begin, state).time == begin + 60s);
}
