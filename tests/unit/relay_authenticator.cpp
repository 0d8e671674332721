// SPDX-License-Identifier: MIT
// What the relay says to a client before it has joined a channel.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/relay/relay_authenticator.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"

using namespace async_test;
using namespace instancer;
using instancer::test::FakePeer;

namespace {

/// A client that is being asked.
class Asked {
public:
    explicit Asked(const RelayGreeting& greeting = {}) : authenticator("hi", greeting)
    {
        task.emplace(loop.start(authenticator.authenticate(stream, info)));
        loop.settle();
    }

    void send(const std::string& bytes)
    {
        peer.send(bytes);
        loop.settle();
    }

    /// Channel and bytes that came too early, or what is wrong.
    std::string outcome()
    {
        REQUIRE(loop.until([&] { return task->done(); }));
        const auto& admission = task->value();
        if (!admission)
            return admission.error().message();
        CHECK(admission->owner() == admission->identifier());
        CHECK(admission->label() == "channel " + admission->owner());
        std::string early(stream.unread_size(), '\0');
        return admission->owner() + ":" + (early.empty() ? "" : async_test::try_read(stream, early.size()));
    }

    Loop loop;
    FakePeer peer{loop.executor()};
    Stream stream = peer.take_stream();
    ClientInfo info;
    RelayAuthenticator authenticator;
    std::optional<Task<Result<Admission>>> task;
};

}  // namespace

TEST_CASE("relay authenticator: banner first, then the client's channel")
{
    Asked client;
    CHECK(client.peer.received() == "4-BounceServer_1.0\n");
    client.send("h");
    client.send("i0");
    CHECK_FALSE(client.task->done());
    client.send("02A and more");
    CHECK(client.outcome() == "2a:");
    CHECK(client.peer.unread() == 9);
    CHECK(client.task->value()->banner() == "READY");
    CHECK(client.task->value()->on_refusal(Error(Errc::full)) == "Connection Group Full");
    CHECK(client.task->value()->on_refusal(Error(Errc::stopping)).empty());
    CHECK(client.peer.received() == "4-BounceServer_1.0\n");
}

TEST_CASE("relay authenticator: a short number ends at another byte, at a pause, or at the end")
{
    RelayGreeting greeting;
    greeting.digit_pause = 30ms;
    Asked client(greeting);
    SUBCASE("another byte, which belongs to the channel")
    {
        client.send("hi2a\n");
        CHECK(client.outcome() == "2a:\n");
    }
    SUBCASE("a pause")
    {
        client.send("hi2a");
        CHECK_FALSE(client.task->done());
        CHECK(client.outcome() == "2a:");
    }
    SUBCASE("the end")
    {
        client.peer.send("hi0");
        client.peer.shutdown_send();
        CHECK(client.outcome() == "0:");
    }
}

TEST_CASE("relay authenticator: what is wrong is said, and no secret is in the reason")
{
    RelayGreeting greeting;
    greeting.max_channel = 0x10;
    greeting.newline = false;
    greeting.ready = false;
    Asked client(greeting);
    CHECK(client.peer.received() == "2-BounceServer_1.0");
    SUBCASE("another string")
    {
        client.send("no07");
        CHECK(client.outcome() == "wrong authentication string");
        CHECK(client.peer.received() == "2-BounceServer_1.0Authentication failure");
    }
    SUBCASE("no digit")
    {
        client.send("hi.");
        CHECK(client.outcome() == "no channel has such a number");
        CHECK(client.peer.received() == "2-BounceServer_1.0Failed to negotiate channel number");
    }
    SUBCASE("too large")
    {
        client.send("hi11");
        CHECK(client.outcome() == "no channel has such a number");
        CHECK(client.peer.received() == "2-BounceServer_1.0Failed to negotiate channel number");
    }
    SUBCASE("the largest, without READY")
    {
        client.send("hi10");
        CHECK(client.outcome() == "10:");
        CHECK(client.task->value()->banner().empty());
    }
    SUBCASE("left before")
    {
        client.peer.send("h");
        client.peer.shutdown_send();
        CHECK(client.outcome() == "the client left before it had said all of the authentication string");
        CHECK(client.peer.received() == "2-BounceServer_1.0");
    }
    SUBCASE("left without a channel")
    {
        client.peer.send("hi");
        client.peer.shutdown_send();
        CHECK(client.outcome() == "the client left before it had said which channel");
    }
    SUBCASE("reset")
    {
        client.peer.reset();
        client.loop.settle();
        REQUIRE(client.task->done());
        CHECK(client.task->value().error() == std::error_code(asio::error::connection_reset));
    }
}

TEST_CASE("relay authenticator: cancelled wherever it waits")
{
    for (const std::string sent : {"", "h", "hi", "hi2"}) {
        Asked client;
        if (!sent.empty())
            client.send(sent);
        client.task->cancel();
        client.loop.settle();
        REQUIRE(client.task->done());
        REQUIRE_FALSE(client.task->value());
        CHECK(client.task->value().error() == std::error_code(asio::error::operation_aborted));
    }
}

TEST_CASE("relay authenticator: another authentication string holds for the next client")
{
    Asked client;
    client.authenticator.set_authentication("other");
    client.send("hi0001");
    CHECK(client.outcome() == "1:");
    FakePeer peer(client.loop.executor());
    auto stream = peer.take_stream();
    auto next = client.loop.start(client.authenticator.authenticate(stream, client.info));
    peer.send("other0002");
    client.loop.settle();
    REQUIRE(next.done());
    CHECK(next.value()->owner() == "2");
}
