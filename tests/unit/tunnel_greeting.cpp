// SPDX-License-Identifier: MIT
// What two ends of ours tell each other in their greetings, and what older ones and strangers make of it.
#include <string>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/tunnel_greeting.hpp>

using instancer::detail::TunnelGreeting;

TEST_CASE("tunnel greeting: an offer, also of an agent that was displaced")
{
    CHECK(TunnelGreeting::offer(65536, false) == "instancer-tunnel 1 window=65536");
    const auto plain = TunnelGreeting::parse("instancer-tunnel 1 window=65536");
    CHECK(plain.window == 65536u);
    CHECK(!plain.displaced);
    const auto displaced = TunnelGreeting::parse(TunnelGreeting::offer(4096, true));
    CHECK(displaced.window == 4096u);
    CHECK(displaced.displaced);
    // Words of later versions change nothing.
    CHECK(TunnelGreeting::parse("instancer-tunnel 1 window=65536 more words").window == 65536u);
}

TEST_CASE("tunnel greeting: who serves instead")
{
    const auto text = TunnelGreeting::displacement("192.0.2.1:5000");
    const auto greeting = TunnelGreeting::parse(text);
    CHECK(greeting.displaced);
    CHECK(greeting.by == "192.0.2.1:5000");
    // No offer, for whoever knows only those.
    CHECK(!greeting.window);
    CHECK(!text.starts_with("instancer-tunnel 1 window="));
}

TEST_CASE("tunnel greeting: anything else says nothing")
{
    for (const std::string text :
         {"", "hello", "instancer", "instancer-tunnel 1 ",
          "instancer-tunnel 1 window=", "instancer-tunnel 1 window=4095", "instancer-tunnel 1 window=99999999999",
          "instancer-tunnel 1 window=x displaced", "instancer-tunnel 2 displaced by x", "window=65536"}) {
        CAPTURE(text);
        const auto greeting = TunnelGreeting::parse(text);
        CHECK(!greeting.window);
        CHECK(!greeting.displaced);
    }
}
