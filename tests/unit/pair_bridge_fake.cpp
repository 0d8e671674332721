// SPDX-License-Identifier: MIT
// The bridge between fake streams, where every byte in between is accounted for.
#include <string>

#include <doctest/doctest.h>

#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using instancer::BridgeEnd;
using instancer::Link;
using instancer::LinkState;
using instancer::PairBridge;
using instancer::Usage;
using instancer::test::FakePeer;

namespace {

class FakeBridged {
public:
    BridgeEnd end()
    {
        loop.settle();
        return bridging.value();
    }

    /// Where one side has yet to get something, which is waited for until it has stopped taking.
    BridgeEnd end_in_time()
    {
        REQUIRE(loop.until([&] { return bridging.done(); }));
        return bridging.value();
    }

    Loop loop;
    PairBridge bridge;
    Usage usage;
    LinkState state;
    FakePeer client{loop.executor()}, instance{loop.executor()};
    Link link{client.take_stream(), instance.take_stream(), usage, state};
    Task<BridgeEnd> bridging = loop.start(bridge.run(link));
};

}  // namespace

TEST_CASE("pair bridge, fake streams: a side that takes nothing costs one read of memory, whatever is sent")
{
    for (const bool from_client : {false, true}) {
        CAPTURE(from_client);
        FakeBridged bridged;
        FakePeer& writer = from_client ? bridged.client : bridged.instance;
        FakePeer& reader = from_client ? bridged.instance : bridged.client;
        reader.set_room(0);
        const auto segment = socket_pair::noise(100'000, 1);
        std::string all;
        for (int i = 0; i < 20; ++i) {
            writer.send(segment);
            all += segment;
        }
        bridged.loop.settle();
        CHECK(writer.unread() == 19 * segment.size());
        reader.set_room(150'000);
        bridged.loop.settle();
        CHECK(reader.received().size() == 150'000);
        CHECK(writer.unread() == 18 * segment.size());
        reader.set_room(all.size());
        bridged.loop.settle();
        CHECK(bool(reader.received() == all));
        CHECK(writer.unread() == 0);
    }
}

TEST_CASE("pair bridge, fake streams: one direction does not wait for the other")
{
    FakeBridged bridged;
    bridged.instance.set_room(0);
    bridged.client.send("blocked");
    bridged.loop.settle();
    bridged.instance.send("answer");
    bridged.loop.settle();
    CHECK(bridged.client.received() == "answer");
    CHECK(bridged.instance.received().empty());
}

TEST_CASE("pair bridge, fake streams: an end follows the bytes before it, also when those had to wait")
{
    FakeBridged bridged;
    bridged.instance.set_room(3);
    bridged.client.send("question");
    bridged.client.shutdown_send();
    bridged.loop.settle();
    CHECK(bridged.instance.received() == "que");
    CHECK_FALSE(bridged.instance.end_received());
    bridged.instance.set_room(100);
    bridged.loop.settle();
    CHECK(bridged.instance.received() == "question");
    CHECK(bridged.instance.end_received());
    CHECK_FALSE(bridged.instance.gone());
    bridged.instance.send("answer");
    bridged.instance.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::completed);
    CHECK(bridged.client.received() == "answer");
    CHECK(bridged.client.end_received());
    CHECK_FALSE(bridged.client.reset_received());
    CHECK_FALSE(bridged.instance.reset_received());
}

TEST_CASE("pair bridge, fake streams: resets are passed on, also while a side takes nothing")
{
    for (const bool full : {false, true})
        for (const bool by_client : {false, true}) {
            CAPTURE(full);
            CAPTURE(by_client);
            FakeBridged bridged;
            if (full) {
                bridged.client.set_room(0);
                bridged.instance.set_room(0);
                bridged.client.send("up");
                bridged.instance.send("down");
            }
            bridged.loop.settle();
            (by_client ? bridged.client : bridged.instance).reset();
            if (full && !by_client) {
                // What was read from the instance already is delivered before.
                bridged.loop.settle();
                CHECK_FALSE(bridged.client.gone());
                bridged.client.set_room(100);
                bridged.loop.settle();
                CHECK(bridged.client.received() == "down");
            }
            CHECK(bridged.end_in_time() == (by_client ? BridgeEnd::client_reset : BridgeEnd::instance_reset));
            CHECK((by_client ? bridged.instance : bridged.client).reset_received());
        }
}

TEST_CASE("pair bridge, fake streams: an instance that listens no more still gives its answer")
{
    FakeBridged bridged;
    bridged.client.send("too much");
    bridged.instance.send("answer");
    bridged.instance.close();
    CHECK(bridged.end() == BridgeEnd::instance_reset);
    CHECK(bridged.client.received() == "answer");
    CHECK(bridged.client.end_received());
}

TEST_CASE("pair bridge, fake streams: the end of the instance lets the client go, not before its last words")
{
    FakeBridged bridged;
    bridged.client.set_room(4);
    bridged.instance.send("last words");
    bridged.instance.shutdown_send();
    bridged.link.instance_ended();
    bridged.loop.settle();
    CHECK_FALSE(bridged.client.gone());
    bridged.client.set_room(100);
    CHECK(bridged.end() == BridgeEnd::completed);
    CHECK(bridged.client.received() == "last words");
    CHECK(bridged.client.gone());
    CHECK_FALSE(bridged.client.reset_received());
}

TEST_CASE("pair bridge, fake streams: cancelled at any point, both ends are aborted")
{
    FakeBridged bridged;
    SUBCASE("idle") {}
    SUBCASE("just when bytes came") { bridged.client.send("x"); }
    SUBCASE("just when both sides had bytes")
    {
        bridged.client.send("x");
        bridged.instance.send("y");
    }
    SUBCASE("while a side takes nothing")
    {
        bridged.instance.set_room(0);
        bridged.client.send("x");
        bridged.loop.settle();
    }
    SUBCASE("after one side ended")
    {
        bridged.client.shutdown_send();
        bridged.loop.settle();
    }
    bridged.loop.settle();
    bridged.client.send("z");
    bridged.bridging.cancel();
    CHECK(bridged.end() == BridgeEnd::cancelled);
    CHECK(bridged.client.reset_received());
    CHECK(bridged.instance.reset_received());
}

TEST_CASE("pair bridge, fake streams: cancelled before it begins, both ends are aborted")
{
    Loop loop;
    PairBridge bridge;
    Usage usage;
    LinkState state;
    FakePeer client(loop.executor()), instance(loop.executor());
    Link link(client.take_stream(), instance.take_stream(), usage, state);
    auto bridging = loop.start_cancelled(bridge.run(link));
    loop.settle();
    CHECK(bridging.value() == BridgeEnd::cancelled);
    CHECK(client.reset_received());
    CHECK(instance.reset_received());
}
