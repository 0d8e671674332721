// SPDX-License-Identifier: MIT
// The bridge between two real connections: both far ends must see what they would see if connected directly.
#include <string>

#include <doctest/doctest.h>

#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/socket_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using namespace socket_pair;
using instancer::BridgeEnd;
using instancer::Link;
using instancer::make_socket_stream;
using instancer::PairBridge;
using instancer::Usage;

namespace {

/// client -- [link] -- server, where the tests hold client and server.
class Bridged {
public:
    Bridged(Pair client_pair, Pair server_pair)
        : client(make_socket_stream(loop.executor(), std::move(client_pair.first))),
          server(make_socket_stream(loop.executor(), std::move(server_pair.first))),
          link(make_socket_stream(loop.executor(), std::move(client_pair.second)),
               make_socket_stream(loop.executor(), std::move(server_pair.second)), usage),
          bridging(loop.start(bridge.run(link)))
    {
    }

    BridgeEnd end()
    {
        REQUIRE(loop.until([&] { return bridging.done(); }));
        return bridging.value();
    }

    Loop loop;
    PairBridge bridge;
    Usage usage;
    Stream client, server;
    Link link;
    Task<BridgeEnd> bridging;
};

/// Runs a test with either kind of instance; the client comes over TCP.
template <class Test>
void with_each_kind(const Test& test)
{
    for (const bool is_tcp : {false, true}) {
        CAPTURE(is_tcp);
        Bridged bridged(tcp(), is_tcp ? tcp() : unix_domain());
        test(bridged, is_tcp);
    }
}

}  // namespace

TEST_CASE("pair bridge: the client half-closes, and the whole answer still comes")
{
    with_each_kind([](Bridged& bridged, bool) {
        auto& loop = bridged.loop;
        CHECK(loop.run(write_and_end(bridged.client, "question")));
        CHECK(loop.run(read_all(bridged.server)) == "question");
        CHECK_FALSE(bridged.bridging.done());
        CHECK(loop.run(write_and_end(bridged.server, "answer")));
        CHECK(loop.run(read_all(bridged.client)) == "answer");
        CHECK(bridged.end() == BridgeEnd::completed);
        CHECK(bridged.link.bytes_up() == 8);
        CHECK(bridged.link.bytes_down() == 6);
        CHECK(bridged.usage.bytes_up() == 8);
        CHECK(bridged.usage.bytes_down() == 6);
        CHECK(bridged.usage.last_active() > Usage::Clock::time_point());
    });
}

TEST_CASE("pair bridge: the server speaks first and half-closes; every byte of the client still arrives")
{
    with_each_kind([](Bridged& bridged, bool) {
        auto& loop = bridged.loop;
        CHECK(loop.run(write_and_end(bridged.server, "banner")));
        CHECK(loop.run(read_all(bridged.client)) == "banner");
        const auto data = noise(300'000, 1);
        auto writing = loop.start(write_and_end(bridged.client, data));
        CHECK(bool(loop.run(read_all(bridged.server)) == data));
        CHECK(writing.value());
        CHECK(bridged.end() == BridgeEnd::completed);
    });
}

TEST_CASE("pair bridge: megabytes both ways at once, in reads and writes of any size")
{
    with_each_kind([](Bridged& bridged, bool) {
        auto& loop = bridged.loop;
        const auto up = noise(3'000'000, 1), down = noise(4'000'000, 2);
        auto asking = loop.start(write_and_end(bridged.client, up, 3));
        auto answering = loop.start(write_and_end(bridged.server, down, 4));
        auto at_server = loop.start(read_all(bridged.server, nullptr, 5));
        auto at_client = loop.start(read_all(bridged.client, nullptr, 6));
        REQUIRE(loop.until([&] { return at_server.done() && at_client.done(); }));
        CHECK(bool(at_server.value() == up));
        CHECK(bool(at_client.value() == down));
        CHECK(asking.value());
        CHECK(answering.value());
        CHECK(bridged.end() == BridgeEnd::completed);
        CHECK(bridged.usage.bytes_up() == up.size());
        CHECK(bridged.usage.bytes_down() == down.size());
    });
}

TEST_CASE("pair bridge: a side that does not read holds the other one up, and nothing is lost")
{
    for (const bool from_client : {false, true}) {
        CAPTURE(from_client);
        constexpr int kernel_buffer = 32 * 1024;
        Bridged bridged(tcp(kernel_buffer), tcp(kernel_buffer));
        auto& loop = bridged.loop;
        Stream& writer = from_client ? bridged.client : bridged.server;
        Stream& reader = from_client ? bridged.server : bridged.client;
        const auto data = noise(4'000'000, 1);
        std::size_t sent = 0;
        const auto push = [&] {
            const auto count = writer.try_write(bytes_of(std::string_view(data).substr(sent)));
            sent += count.value_or(0);
            return count.has_value();
        };
        // Full is full when nothing goes in for a while; a kernel moves bytes a moment later.
        for (int calm = 0; calm < 50 && sent < data.size(); ++calm) {
            loop.run(asio::steady_timer(loop.executor(), 1ms).async_wait(asio::use_awaitable));
            if (push())
                calm = 0;
        }
        CHECK(sent < 256 * 1024 + 8 * 2 * kernel_buffer);
        auto writing = loop.start(write_and_end(writer, std::string_view(data).substr(sent)));
        CHECK(bool(loop.run(read_all(reader)) == data));
        CHECK(writing.value());
    }
}

TEST_CASE("pair bridge: a client that resets is a reset for the server")
{
    with_each_kind([](Bridged& bridged, bool is_tcp) {
        auto& loop = bridged.loop;
        loop.run(bridged.client.write_all(bytes_of("x")));
        CHECK(loop.run(read_exactly(bridged.server, 1)) == "x");
        bridged.client.abort();
        bool reset = false;
        CHECK(loop.run(read_all(bridged.server, &reset)) == "");
        CHECK(reset == is_tcp);
        CHECK(bridged.end() == BridgeEnd::client_reset);
    });
}

TEST_CASE("pair bridge: a client that closes with unread data is a reset for the server")
{
    Bridged bridged(tcp(), tcp());
    auto& loop = bridged.loop;
    loop.run(bridged.server.write_all(bytes_of("unread")));
    REQUIRE(loop.until([&] { return bridged.usage.bytes_down() == 6; }));
    char byte;
    REQUIRE(loop.until([&] { return ::recv(bridged.client.native_handle(), &byte, 1, MSG_PEEK) == 1; }));
    bridged.client.close();
    bool reset = false;
    loop.run(read_all(bridged.server, &reset));
    CHECK(reset);
    CHECK(bridged.end() == BridgeEnd::client_reset);
}

TEST_CASE("pair bridge: a server that resets is a reset for the client, after all that came before")
{
    Bridged bridged(tcp(), tcp());
    auto& loop = bridged.loop;
    const auto data = noise(50'000, 1);
    loop.run(bridged.server.write_all(bytes_of(data)));
    REQUIRE(loop.until([&] { return bridged.usage.bytes_down() == data.size(); }));
    bridged.server.abort();
    bool reset = false;
    CHECK(bool(loop.run(read_all(bridged.client, &reset)) == data));
    CHECK(reset);
    CHECK(bridged.end() == BridgeEnd::instance_reset);
}

TEST_CASE("pair bridge: urgent data neither stalls nor loses the bytes around it")
{
    for (const bool from_client : {false, true}) {
        CAPTURE(from_client);
        Bridged bridged(tcp(), tcp());
        auto& loop = bridged.loop;
        Stream& writer = from_client ? bridged.client : bridged.server;
        Stream& reader = from_client ? bridged.server : bridged.client;
        loop.run(writer.write_all(bytes_of("ab")));
        REQUIRE(::send(writer.native_handle(), "!", 1, MSG_OOB) == 1);
        CHECK(loop.run(write_and_end(writer, "cd")));
        CHECK(loop.run(read_all(reader)) == "abcd");
        CHECK(loop.run(write_and_end(reader, "answer")));
        CHECK(loop.run(read_all(writer)) == "answer");
        CHECK(bridged.end() == BridgeEnd::completed);
    }
}

TEST_CASE("pair bridge: when the instance has ended, the client is let go after its last words")
{
    bool known_before_its_words_are_read = false;
    SUBCASE("its end is known before its words are read") { known_before_its_words_are_read = true; }
    SUBCASE("its end is known after its connection closed") {}
    with_each_kind([&](Bridged& bridged, bool) {
        auto& loop = bridged.loop;
        loop.run(bridged.server.write_all(bytes_of("last words")));
        if (known_before_its_words_are_read)
            bridged.link.instance_ended();
        bridged.server.close();
        loop.settle();
        bridged.link.instance_ended();
        CHECK(loop.run(read_all(bridged.client)) == "last words");
        CHECK(bridged.end() == BridgeEnd::completed);
        // As the system would do it: who speaks to nobody is told so.
        bool reset = false;
        REQUIRE(loop.until([&] {
            static_cast<void>(bridged.client.try_write(bytes_of("x")));
            reset = !bridged.client.try_write(bytes_of("x"));
            return reset;
        }));
    });
}

TEST_CASE("pair bridge: cancelled, both ends are aborted")
{
    bool bytes_wait = false;
    SUBCASE("while nothing happens") {}
    SUBCASE("just when there are bytes") { bytes_wait = true; }
    with_each_kind([&](Bridged& bridged, bool is_tcp) {
        auto& loop = bridged.loop;
        loop.run(bridged.client.write_all(bytes_of("x")));
        CHECK(loop.run(read_exactly(bridged.server, 1)) == "x");
        if (bytes_wait) {
            loop.run(bridged.client.write_all(bytes_of("y")));
            loop.run(bridged.server.write_all(bytes_of("z")));
        }
        bridged.bridging.cancel();
        CHECK(bridged.end() == BridgeEnd::cancelled);
        bool reset_client = false, reset_server = false;
        loop.run(read_all(bridged.client, &reset_client));
        loop.run(read_all(bridged.server, &reset_server));
        CHECK(reset_client);
        if (is_tcp)
            CHECK(reset_server);
    });
}

TEST_CASE("pair bridge: cancelled while one side does not read, both ends are aborted")
{
    Bridged bridged(tcp(), unix_domain());
    auto& loop = bridged.loop;
    const auto data = noise(4'000'000, 1);
    auto writing = loop.start(write_and_end(bridged.client, data));
    REQUIRE(loop.until([&] { return bridged.usage.bytes_up() != 0; }));
    loop.settle();
    bridged.bridging.cancel();
    CHECK(bridged.end() == BridgeEnd::cancelled);
    REQUIRE(loop.until([&] { return writing.done(); }));
    CHECK_FALSE(writing.value());
}
