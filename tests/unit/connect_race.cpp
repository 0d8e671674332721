// SPDX-License-Identifier: MIT
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/posix/stream_descriptor.hpp>
#include <doctest/doctest.h>

#include <instancer/detail/socket/connect_race.hpp>

#include <listener.hpp>

#include "async_test.hpp"
#include "no_descriptors.hpp"

using namespace async_test;
using daemon_test::HangingListener;
using daemon_test::Listener;
using instancer::Errc;
using instancer::Result;
using instancer::Stream;
using instancer::detail::ConnectRace;

namespace {

ConnectRace::Endpoint endpoint_of(const Listener& listener)
{
    const auto& address = listener.address();
    return {asio::ip::make_address(address.substr(0, address.rfind(':'))),
            static_cast<std::uint16_t>(std::stoi(listener.port()))};
}

/// Nobody listens there.
ConnectRace::Endpoint closed() { return endpoint_of(Listener()); }

std::ptrdiff_t descriptors()
{
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

/// A race, and what it says of the addresses.
class Race {
public:
    explicit Race(std::vector<ConnectRace::Endpoint> endpoints, std::chrono::milliseconds limit = 1h)
        : race(loop.executor(), std::move(endpoints), limit)
    {
        race.on_answer([this](const auto& endpoint, const Result<void>& answer) {
            answers.emplace_back(endpoint, answer ? "there" : answer.error().message());
        });
    }

    Loop loop;
    /// The loop has descriptors of its own from the first one that it watches.
    asio::posix::stream_descriptor first{loop.executor()};
    std::vector<std::pair<ConnectRace::Endpoint, std::string>> answers;
    ConnectRace race;
};

}  // namespace

TEST_CASE("connect race: one that is silent costs no more than its head start")
{
    const HangingListener silent;
    const Listener good;
    Race race({endpoint_of(silent), endpoint_of(good)});
    const auto before = descriptors();
    auto stream = race.loop.run(race.race.run());
    REQUIRE(stream);
    CHECK(good.accept());
    REQUIRE(race.answers.size() == 2);
    CHECK(race.answers[0] == std::pair(endpoint_of(good), std::string("there")));
    CHECK(race.answers[1] == std::pair(endpoint_of(silent), "connecting to " + silent.address() + " takes too long"));
    stream->close();
    CHECK(descriptors() == before);
}

TEST_CASE("connect race: one that refuses is followed at once")
{
    const Listener good;
    const auto refusing = closed();
    Race race({refusing, endpoint_of(good)});
    auto task = race.loop.start(race.race.run());
    race.loop.settle();
    REQUIRE(task.done());
    CHECK(task.value());
    REQUIRE(race.answers.size() == 2);
    CHECK(race.answers[0].first == refusing);
    CHECK(race.answers[0].second.find("Connection refused") != std::string::npos);
}

TEST_CASE("connect race: with nobody left it says why")
{
    const HangingListener silent;
    SUBCASE("nobody listens")
    {
        Race race({closed(), closed()});
        const auto stream = race.loop.run(race.race.run());
        REQUIRE_FALSE(stream);
        CHECK(stream.error() == Errc::not_ready);
        CHECK(race.answers.size() == 2);
    }
    SUBCASE("nobody answers in time, and each had its turn")
    {
        const HangingListener other;
        Race race({endpoint_of(silent), endpoint_of(other)}, 40ms);
        const auto stream = race.loop.run(race.race.run());
        REQUIRE_FALSE(stream);
        CHECK(stream.error() == Errc::not_ready);
        CHECK(stream.error().message() == "connecting to " + other.address() + " takes too long");
        CHECK(race.answers.size() == 2);
    }
    SUBCASE("there is no address")
    {
        Race race({});
        CHECK(race.loop.run(race.race.run()).error() == Errc::not_ready);
    }
    SUBCASE("a lack of descriptors is nobody's fault")
    {
        Race race({endpoint_of(silent)});
        std::optional<NoDescriptors> lack(std::in_place);
        const auto stream = race.loop.run(race.race.run());
        lack.reset();
        REQUIRE_FALSE(stream);
        CHECK(instancer::detail::is_want_of_ours(stream.error()));
        CHECK(race.answers.empty());
    }
}

TEST_CASE("connect race: it ends with its client, and when it is cancelled; nothing is left")
{
    const HangingListener silent, other;
    Race race({endpoint_of(silent), endpoint_of(other)});
    auto pair = instancer::make_stream_pair(race.loop.executor());
    REQUIRE(pair);
    auto& [client, peer] = *pair;
    // Whatever a first wait makes for all others stays.
    auto first = race.loop.start(client.wait(instancer::Readiness::gone));
    race.loop.settle();
    first.cancel();
    REQUIRE(race.loop.until([&] { return first.done(); }));
    const auto before = descriptors();
    SUBCASE("the client goes, after it has sent its end")
    {
        auto task = race.loop.start(race.race.run(&client));
        REQUIRE(peer.shutdown_send());
        race.loop.settle();
        CHECK_FALSE(task.done());
        peer.close();
        REQUIRE(race.loop.until([&] { return task.done(); }));
        REQUIRE_FALSE(task.value());
        CHECK(task.value().error() == Errc::cancelled);
        CHECK(descriptors() == before - 1);
    }
    SUBCASE("cancelled")
    {
        auto task = race.loop.start(race.race.run());
        race.loop.settle();
        task.cancel();
        REQUIRE(race.loop.until([&] { return task.done(); }));
        REQUIRE_FALSE(task.value());
        CHECK(task.value().error() == Errc::cancelled);
        CHECK(descriptors() == before);
    }
    CHECK(race.answers.empty());
}

TEST_CASE("connecting to a link-local address without its interface says what is missing")
{
    Race race({ConnectRace::Endpoint(asio::ip::make_address("fe80::1"), 80)});
    const auto stream = race.loop.run(race.race.run());
    REQUIRE_FALSE(stream);
    if (stream.error() == std::error_code(asio::error::invalid_argument))
        CHECK(stream.error().message().find("takes the name of an interface, as in fe80::1%eth0") != std::string::npos);
    else
        MESSAGE("skipped: there is no IPv6 here");
}
