// SPDX-License-Identifier: MIT
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/backend/balancer.hpp>

using namespace instancer;
using namespace std::chrono_literals;

namespace {

UpstreamOptions group(Balance balance, const std::vector<unsigned>& weights)
{
    UpstreamOptions options;
    options.balance = balance;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        options.upstreams.push_back(Upstream::tcp("10.0.0." + std::to_string(i + 1), 80));
        options.upstreams.back().weight = weights[i];
    }
    return options;
}

const Balancer::Clock::time_point now{1h};

std::size_t first(Balancer& balancer, const std::string& source = "192.0.2.1")
{
    const auto order = balancer.order(source, now);
    REQUIRE(order.size() == balancer.size());
    return order.front();
}

}  // namespace

TEST_CASE("balancer: round robin gives everybody its share, evenly spread")
{
    Balancer balancer(group(Balance::round_robin, {5, 1, 1}));
    std::string turns;
    for (int i = 0; i < 14; ++i)
        turns += static_cast<char>('a' + first(balancer));
    CHECK(turns == "aabacaaaabacaa");
}

TEST_CASE("balancer: least connections, by weight")
{
    Balancer balancer(group(Balance::least_connections, {2, 1}));
    for (int i = 0; i < 30; ++i)
        balancer.begin(first(balancer));
    CHECK(balancer.connections(0) == 20);
    CHECK(balancer.connections(1) == 10);
    for (int i = 0; i < 15; ++i)
        balancer.end(0);
    for (int i = 0; i < 10; ++i) {
        CHECK(first(balancer) == 0);
        balancer.begin(0);
    }
}

TEST_CASE("balancer: random of two prefers the one with fewer, and gives shares by weight")
{
    Balancer even(group(Balance::random, {1, 1, 1, 1}), 1);
    for (int i = 0; i < 4000; ++i)
        even.begin(first(even));
    for (std::size_t i = 0; i < 4; ++i) {
        CAPTURE(i);
        CHECK(even.connections(i) > 980);
        CHECK(even.connections(i) < 1020);
    }
    Balancer uneven(group(Balance::random, {3, 1}), 1);
    for (int i = 0; i < 4000; ++i)
        uneven.begin(first(uneven));
    CHECK(uneven.connections(0) > 2800);
    CHECK(uneven.connections(0) < 3200);
}

TEST_CASE("balancer: a source keeps its upstream, and few move when the list changes")
{
    const auto homes = [](const UpstreamOptions& options) {
        Balancer balancer(options);
        std::map<std::string, std::string> result;
        for (int i = 0; i < 3000; ++i) {
            const auto source = "192.0.2." + std::to_string(i);
            const auto chosen = first(balancer, source);
            CHECK(first(balancer, source) == chosen);
            result[source] = options.upstreams[chosen].text();
        }
        return result;
    };
    const auto three = group(Balance::source_hash, {1, 1, 2}), four = group(Balance::source_hash, {1, 1, 2, 1});
    const auto before = homes(three), after = homes(four);
    std::map<std::string, int> share;
    int moved = 0;
    for (const auto& [source, home] : after) {
        ++share[home];
        if (home != before.at(source)) {
            ++moved;
            // Nobody moves but to the new one.
            CHECK(home == "10.0.0.4:80");
        }
    }
    CHECK(moved == share["10.0.0.4:80"]);
    CHECK(moved > 500);
    CHECK(moved < 700);
    CHECK(share["10.0.0.3:80"] > 1100);
    CHECK(share["10.0.0.3:80"] < 1300);
}

TEST_CASE("balancer: who fails again and again is tried last, for a while")
{
    for (const auto balance :
         {Balance::round_robin, Balance::least_connections, Balance::source_hash, Balance::random}) {
        CAPTURE(static_cast<int>(balance));
        auto options = group(balance, {1000, 1});
        options.max_fails = 2;
        options.fail_timeout = 10s;
        Balancer balancer(options);
        CHECK_FALSE(balancer.failed(0, now));
        CHECK_FALSE(balancer.rests(0, now));
        // In a row only.
        CHECK_FALSE(balancer.succeeded(0));
        CHECK_FALSE(balancer.failed(0, now));
        CHECK(balancer.failed(0, now));
        CHECK(balancer.rests(0, now));
        CHECK(balancer.order("x", now) == std::vector<std::size_t>{1, 0});
        CHECK(balancer.order("x", now + 9s) == std::vector<std::size_t>{1, 0});
        CHECK_FALSE(balancer.rests(0, now + 10s));
        // One more failure is enough then, and it is no news.
        CHECK_FALSE(balancer.failed(0, now + 10s));
        CHECK(balancer.rests(0, now + 10s));
        CHECK(balancer.succeeded(0));
        CHECK_FALSE(balancer.rests(0, now + 10s));
    }
    auto options = group(Balance::round_robin, {1, 1});
    options.max_fails = 0;
    Balancer patient(options);
    for (int i = 0; i < 100; ++i)
        CHECK_FALSE(patient.failed(0, now));
    CHECK_FALSE(patient.rests(0, now));
}
