// SPDX-License-Identifier: MIT
// When an end that is silent is asked for a sign of life, and when it is given up.
#include <chrono>
#include <optional>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/keep_alive.hpp>

using instancer::detail::KeepAlive;
using namespace std::chrono_literals;
using Due = KeepAlive::Due;

namespace {

const KeepAlive::TimePoint start{1h};

}  // namespace

TEST_CASE("keep-alive: the question is due after a time without traffic, in either direction")
{
    KeepAlive alive(50s, 20s, start);
    CHECK(alive.next_deadline() == start + 50s);
    CHECK(alive.advance(start + 49s, true) == Due::nothing);
    alive.sent(start + 10s);
    CHECK(alive.next_deadline() == start + 60s);
    alive.received(start + 30s);
    CHECK(alive.next_deadline() == start + 80s);
    CHECK(alive.advance(start + 79s, true) == Due::nothing);
    CHECK(alive.advance(start + 80s, true) == Due::question);
}

TEST_CASE("keep-alive: without any byte for long enough after the question, the other end is given up")
{
    KeepAlive alive(50s, 20s, start);
    REQUIRE(alive.advance(start + 50s, true) == Due::question);
    // Sending proves nothing.
    alive.sent(start + 60s);
    CHECK(alive.next_deadline() == start + 70s);
    CHECK(alive.advance(start + 69s, true) == Due::nothing);
    SUBCASE("nothing comes") { CHECK(alive.advance(start + 70s, true) == Due::end); }
    SUBCASE("something comes")
    {
        alive.received(start + 69s);
        CHECK(alive.advance(start + 70s, true) == Due::nothing);
        CHECK(alive.next_deadline() == start + 119s);
    }
}

TEST_CASE("keep-alive: nobody is given up while the link is not read, and the question is asked again later")
{
    KeepAlive alive(50s, 20s, start);
    REQUIRE(alive.advance(start + 50s, true) == Due::question);
    alive.sent(start + 50s);
    CHECK(alive.advance(start + 70s, false) == Due::nothing);
    CHECK(alive.advance(start + 71s, true) == Due::nothing);
    CHECK(alive.advance(start + 100s, true) == Due::question);
}

TEST_CASE("keep-alive: the round trip is that of the question, whatever else came before its answer")
{
    KeepAlive alive(50s, 20s, start);
    CHECK(!alive.answered(start));
    REQUIRE(alive.advance(start + 50s, true) == Due::question);
    alive.received(start + 51s);
    CHECK(alive.answered(start + 53s) == std::optional<KeepAlive::Duration>(3s));
    CHECK(!alive.answered(start + 54s));
}
