// SPDX-License-Identifier: MIT
// When time has something to do for the sessions of a link.
#include <chrono>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/session_deadlines.hpp>

using namespace instancer;
using namespace std::chrono_literals;
using detail::SessionDeadlines;
using Deadline = detail::SessionDeadline;

namespace {

const SessionDeadlines::TimePoint start{1h};

TunnelSessionPtr make_session()
{
    return std::make_shared<TunnelSession>(TunnelAddress(1, 1), TunnelAddress(2, 2), "", false);
}

}  // namespace

TEST_CASE("session deadlines: of each session the nearest one counts, in whatever order they are set")
{
    SessionDeadlines deadlines;
    const auto session = make_session();
    CHECK(deadlines.next() == SessionDeadlines::never);
    deadlines.set(session, Deadline::linger, start + 30s);
    CHECK(deadlines.next() == start + 30s);
    deadlines.set(session, Deadline::hold, start + 1s);
    CHECK(deadlines.next() == start + 1s);
    deadlines.set(session, Deadline::hold, start + 40s);
    CHECK(deadlines.next() == start + 30s);
    deadlines.clear(session, Deadline::linger);
    CHECK(deadlines.next() == start + 40s);
    deadlines.clear(session, Deadline::hold);
    CHECK(deadlines.next() == SessionDeadlines::never);
}

TEST_CASE("session deadlines: a session is due until what was due is set again or cleared")
{
    SessionDeadlines deadlines;
    const auto early = make_session(), late = make_session();
    deadlines.set(late, Deadline::stall, start + 2s);
    deadlines.set(early, Deadline::stall, start + 1s);
    deadlines.set(early, Deadline::linger, start + 3s);
    CHECK(!deadlines.due(start));
    CHECK(deadlines.due(start + 2s) == early);
    CHECK(deadlines.due(start + 2s) == early);
    deadlines.set(early, Deadline::stall, start + 5s);
    CHECK(deadlines.due(start + 2s) == late);
    deadlines.clear(late, Deadline::stall);
    CHECK(!deadlines.due(start + 2s));
    CHECK(deadlines.due(start + 3s) == early);
}

TEST_CASE("session deadlines: nothing is due for a session that was removed, until a deadline is set again")
{
    SessionDeadlines deadlines;
    const auto session = make_session();
    deadlines.set(session, Deadline::hold, start);
    deadlines.set(session, Deadline::linger, start);
    deadlines.remove(session);
    CHECK(!deadlines.due(start + 1h));
    deadlines.set(session, Deadline::stall, start + 5s);
    CHECK(deadlines.next() == start + 5s);
}

TEST_CASE("session deadlines: all sessions that have one can be taken at once, the next one first")
{
    SessionDeadlines deadlines;
    const auto first = make_session(), second = make_session(), none = make_session();
    deadlines.set(second, Deadline::hold, start + 2s);
    deadlines.set(first, Deadline::linger, start + 1s);
    deadlines.set(none, Deadline::linger, start + 1s);
    deadlines.clear(none, Deadline::linger);
    CHECK(deadlines.take_all() == std::vector<TunnelSessionPtr>{first, second});
    CHECK(deadlines.next() == SessionDeadlines::never);
    CHECK(deadlines.take_all().empty());
}
