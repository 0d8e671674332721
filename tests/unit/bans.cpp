// SPDX-License-Identifier: MIT
// Who is banned, as several threads see it, and the moments that stand in files.
#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/admission/bans.hpp>
#include <instancer/admission/source_rate.hpp>
#include <instancer/text/utc_time.hpp>

using namespace instancer;
using namespace std::chrono_literals;

namespace {

ClientInfo client(const char* address)
{
    const asio::ip::tcp::endpoint peer(asio::ip::make_address(address), 1000);
    return ClientInfo(peer, peer);
}

BanOptions at_the_second_failure()
{
    BanOptions options;
    options.after = Rate(1, 1h);
    return options;
}

std::vector<std::string> networks_of(const Bans& bans)
{
    std::vector<std::string> all;
    for (const auto& ban : bans.list())
        all.push_back(ban.network.to_string());
    return all;
}

}  // namespace

TEST_CASE("bans: who fails too often is denied, and the operator hears of it once")
{
    std::vector<std::string> heard;
    Bans bans(at_the_second_failure(), {}, [&](const Ban& ban) { heard.push_back(ban.network.to_string()); });
    bans.note_failure(client("192.0.2.1"), "unknown token");
    CHECK(bans.check(client("192.0.2.1")));
    bans.note_failure(client("192.0.2.1"), "unknown token");
    bans.note_failure(client("192.0.2.1"), "unknown token");
    CHECK(heard == std::vector<std::string>{"192.0.2.1"});
    const auto denied = bans.check(client("192.0.2.1"));
    REQUIRE_FALSE(denied);
    CHECK(denied.error() == Errc::denied);
    CHECK(denied.error().message().starts_with("192.0.2.1 is banned until 2"));
    CHECK(denied.error().message().ends_with("Z: unknown token"));
    CHECK(bans.check(client("192.0.2.2")));
}

TEST_CASE("bans: exempt networks and users of Unix sockets are never banned")
{
    AccessRules exempt;
    exempt.add(true, Network(asio::ip::make_address("192.0.2.0"), 24));
    Bans bans(at_the_second_failure(), std::move(exempt), {});
    for (const auto& one : {client("192.0.2.1"), ClientInfo(1000, "/run/s"), client("198.51.100.1")})
        for (int i = 0; i < 3; ++i)
            bans.note_failure(one, "unknown token");
    CHECK(networks_of(bans) == std::vector<std::string>{"198.51.100.1"});
    bans.replace({Ban(Network(asio::ip::make_address("192.0.0.0"), 8), std::chrono::system_clock::now() + 1h, "all")});
    CHECK(bans.check(client("192.0.2.1")));
    CHECK_FALSE(bans.check(client("192.0.3.1")));
}

TEST_CASE("bans: what an operator writes replaces all, and who is banned again is still banned for longer")
{
    Bans bans(at_the_second_failure(), {}, {});
    const auto fail_twice = [&](const char* address) {
        bans.note_failure(client(address), "wrong");
        bans.note_failure(client(address), "wrong");
    };
    fail_twice("192.0.2.1");
    fail_twice("192.0.2.2");
    const auto soon = std::chrono::system_clock::now() + 1min;
    bans.replace({Ban(Network(asio::ip::make_address("192.0.2.1")), soon, "less"),
                  Ban(Network(asio::ip::make_address("192.0.2.3")), soon + 1h, "more")});
    CHECK(networks_of(bans) == std::vector<std::string>{"192.0.2.1", "192.0.2.3"});
    CHECK(bans.list().front().reason == "less");
    CHECK(bans.list().front().until == soon);
    bans.add(Ban(Network(asio::ip::make_address("192.0.2.4")), soon + 2h, "added"));
    CHECK(networks_of(bans) == std::vector<std::string>{"192.0.2.1", "192.0.2.3", "192.0.2.4"});
}

TEST_CASE("source rate: sources by name, each with its own rate")
{
    SourceRate rate(Rate(2, 10s));
    const SourceRate::Clock::time_point now{100h};
    CHECK(rate.take("ann", now) == 0s);
    CHECK(rate.take("ann", now) == 0s);
    CHECK(rate.take("ann", now) == 5s);
    CHECK(rate.take("bob", now) == 0s);
    CHECK(rate.take("ann", now + 5s) == 0s);
    SourceRate unlimited{Rate()};
    for (int i = 0; i < 100; ++i)
        CHECK(unlimited.take("ann", now) == 0s);
}

TEST_CASE("moments in UTC, as they are written and read")
{
    const std::chrono::system_clock::time_point moment = std::chrono::sys_days(2026y / 11 / 30) + 8h + 15min + 7s;
    CHECK(to_utc(moment) == "2026-11-30T08:15:07Z");
    CHECK(to_utc(moment + 900ms) == "2026-11-30T08:15:07Z");
    CHECK(from_utc("2026-11-30T08:15:07Z") == moment);
    for (const auto* text : {"", "2026-11-30", "2026-11-30T08:15:07", "2026-11-30T08:15:07Z ", " 2026-11-30T08:15:07Z",
                             "2026-02-30T08:15:07Z", "2026-11-30T25:15:07Z", "30.11.2026"})
        CHECK_FALSE(from_utc(text));
}

TEST_CASE("moments in UTC that the clock does not reach are its last and its first second")
{
    const auto last = from_utc("9999-12-31T23:59:59Z"), first = from_utc("1600-01-01T00:00:00Z");
    REQUIRE(last);
    REQUIRE(first);
    CHECK(to_utc(*last) == "2262-04-11T23:47:16Z");
    CHECK(to_utc(*first) == "1677-09-21T00:12:44Z");
    CHECK(from_utc("2262-04-11T23:47:17Z") == last);
    CHECK_FALSE(from_utc("9999-02-30T00:00:00Z"));
}
