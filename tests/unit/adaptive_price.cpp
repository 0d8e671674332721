// SPDX-License-Identifier: MIT
// The price of a proof of work under a clock that the test moves.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/proof_of_work/adaptive_price.hpp>

namespace {

using namespace instancer;
using namespace std::chrono_literals;
using Seconds = AdaptivePrice::Seconds;

/// Under a load that the test changes.
class Market {
public:
    Market(Seconds least, Seconds most) : price(least, most) {}

    /// The reason when the price changes.
    std::string after(AdaptivePrice::Time::duration time)
    {
        now += time;
        const auto change = price.update(load, now);
        if (change)
            CHECK(change->now == price.price());
        return change ? change->why : "";
    }

    AdaptivePrice price;
    ServiceLoad load;
    AdaptivePrice::Time now{1h};
};

}  // namespace

TEST_CASE(
    "adaptive price: nothing is asked while it is calm, and each doubling of the starts that wait doubles the price")
{
    Market market(0s, 32s);
    CHECK(market.after(1s).empty());
    CHECK(market.price.price() == 0s);
    std::vector<double> prices;
    for (const std::size_t waiting : {1, 2, 3, 4, 8, 16, 32, 1000}) {
        market.load.delayed_starts = waiting;
        market.after(1s);
        prices.push_back(market.price.price().count());
    }
    CHECK(prices == std::vector<double>{1, 2, 2, 4, 8, 16, 32, 32});
}

TEST_CASE("adaptive price: it begins at the lowest price, and the last step is the highest")
{
    Market market(3s, 10s);
    CHECK(market.price.price() == 3s);
    market.load.delayed_starts = 1;
    CHECK(market.after(1s) == "1 start waits");
    CHECK(market.price.price() == 6s);
    market.load.delayed_starts = 2;
    CHECK(market.after(1s) == "2 starts wait");
    CHECK(market.price.price() == 10s);
    market.load.delayed_starts = 50;
    CHECK(market.after(1s).empty());
}

TEST_CASE("adaptive price: what is nearest to its limit decides")
{
    Market market(0s, 32s);
    market.load.max_instances = 100;
    market.load.max_unadmitted = 1000;
    market.load.in_use = 75;
    market.load.unadmitted = 500;
    CHECK(market.after(1s).empty());
    market.load.in_use = 88;
    CHECK(market.after(1s) == "88 of 100 instances are in use");
    CHECK(market.price.price() == 8s);
    market.load.unadmitted = 900;
    CHECK(market.after(1s) == "900 of 1000 connections are not admitted yet");
    CHECK(market.price.price() == 16s);
    market.load.in_use = 100;
    CHECK(market.after(1s) == "100 of 100 instances are in use");
    CHECK(market.price.price() == 32s);
}

TEST_CASE("adaptive price: without a limit nothing is near it")
{
    Market market(0s, 32s);
    market.load.in_use = market.load.unadmitted = 1'000'000;
    CHECK(market.after(1s).empty());
    CHECK(market.price.price() == 0s);
}

TEST_CASE("adaptive price: it falls by a step each time that it has been too high for a while")
{
    Market market(0s, 32s);
    market.load.delayed_starts = 4;
    CHECK_FALSE(market.after(1s).empty());
    CHECK(market.price.price() == 4s);
    market.load.delayed_starts = 0;
    CHECK(market.after(AdaptivePrice::patience - 1s).empty());
    CHECK(market.after(1s) == "less is short");
    CHECK(market.price.price() == 2s);
    SUBCASE("down to nothing")
    {
        CHECK(market.after(AdaptivePrice::patience - 1s).empty());
        CHECK(market.after(1s) == "less is short");
        CHECK(market.after(AdaptivePrice::patience) == "less is short");
        CHECK(market.price.price() == 0s);
        CHECK(market.after(AdaptivePrice::patience).empty());
    }
    SUBCASE("up again at once")
    {
        market.load.delayed_starts = 8;
        CHECK(market.after(1s) == "8 starts wait");
        CHECK(market.price.price() == 8s);
    }
    SUBCASE("not while it is justified")
    {
        market.load.delayed_starts = 2;
        for (int i = 0; i < 10; ++i)
            CHECK(market.after(AdaptivePrice::patience).empty());
        market.load.delayed_starts = 0;
        CHECK(market.after(AdaptivePrice::patience - 1s).empty());
        CHECK(market.price.price() == 2s);
    }
}

TEST_CASE("adaptive price: a source pays a step more for each of its failures")
{
    Market market(0s, 32s);
    CHECK(market.price.price(1) == 1s);
    CHECK(market.price.price(2) == 2s);
    CHECK(market.price.price(market.price.steps()) == 32s);
    CHECK(market.price.price(1'000'000) == 32s);
    market.load.delayed_starts = 2;
    market.after(1s);
    CHECK(market.price.price(1) == 4s);
}
