// SPDX-License-Identifier: MIT
#include <optional>
#include <string>

#include <asio/ip/address.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/fair_places.hpp>

#include "async_test.hpp"

using namespace instancer;

namespace {

Source source_at(const std::string& address)
{
    return Source(ClientInfo({asio::ip::make_address(address), 1}, {asio::ip::make_address("192.0.2.9"), 2}), 64);
}

using Place = FairPlaces::Place;

}  // namespace

TEST_CASE("fair places: sources take turns, and a client that has left is passed over")
{
    async_test::Loop loop;
    FairPlaces places(1);
    const auto wait = [&](const char* address) { return loop.start(places.take(source_at(address))); };
    auto running = std::optional(loop.run(places.take(source_at("192.0.2.1"))));
    REQUIRE(*running);
    auto first = wait("192.0.2.1"), second = wait("192.0.2.1"), third = wait("192.0.2.1"), other = wait("192.0.2.2");
    loop.settle();
    CHECK_FALSE(first.done());

    running.reset();
    loop.settle();
    REQUIRE(first.done());
    CHECK_FALSE(other.done());
    std::optional<Result<Place>>(std::move(first.value())).reset();
    loop.settle();
    REQUIRE(other.done());
    CHECK_FALSE(second.done());

    second.cancel();
    loop.settle();
    REQUIRE(second.done());
    CHECK(second.value().error() == asio::error::make_error_code(asio::error::operation_aborted));
    std::optional<Result<Place>>(std::move(other.value())).reset();
    loop.settle();
    CHECK(third.done());
}

TEST_CASE("fair places: a place that comes to a client as it leaves is the next one's")
{
    async_test::Loop loop;
    FairPlaces places(1);
    auto running = std::optional(loop.run(places.take(source_at("192.0.2.1"))));
    {
        auto leaving = loop.start(places.take(source_at("192.0.2.2")));
        loop.settle();
        running.reset();
        leaving.cancel();
        loop.settle();
        CHECK(leaving.done());
    }
    CHECK(loop.run(places.take(source_at("192.0.2.3"))));
}
