// SPDX-License-Identifier: MIT
// The bridge between two real connections: both far ends must see what they would see if connected directly.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include <doctest/doctest.h>

#include "bridged.hpp"

using namespace bridged;

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

TEST_CASE("pair bridge: bytes that were given back to a stream go before all that its socket holds")
{
    const auto large = noise(3'000'000, 1);
    on_each_path([&](Path path) {
        for (const auto& unread : {std::string("early "), large}) {
            Bridged bridged(tcp(32 * 1024), tcp(32 * 1024), path, unread);
            auto& loop = bridged.loop;
            auto asking = loop.start(write_and_end(bridged.client, "question"));
            auto at_server = loop.start(read_all(bridged.server)), at_client = loop.start(read_all(bridged.client));
            REQUIRE(loop.until([&] { return at_server.done(); }));
            CHECK(bool(at_server.value() == unread + "question"));
            auto answering = loop.start(write_and_end(bridged.server, "answer"));
            REQUIRE(loop.until([&] { return at_client.done(); }));
            CHECK(bool(at_client.value() == unread + "answer"));
            CHECK(bridged.end() == BridgeEnd::completed);
            CHECK(bridged.link.bytes_up() == unread.size() + 8);
        }
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

TEST_CASE("pair bridge: much data in one go, with urgent bytes, pauses and small pieces in between")
{
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    Bridged bridged(tcp(4 << 20), tcp(4 << 20));
    auto& loop = bridged.loop;
    std::string all, got;
    const auto large = noise(16 << 20, 1);
    for (const std::string& piece : {large, std::string("small"), large.substr(100), std::string("end")}) {
        auto writing = loop.start(bridged.client.write_all(bytes_of(piece)));
        got += loop.run(read_exactly(bridged.server, piece.size()));
        all += piece;
        REQUIRE(writing.value());
        const char urgent = '!';
        REQUIRE(::send(bridged.client.native_handle(), &urgent, 1, MSG_OOB) == 1);
    }
    CHECK(bool(got == all));
    CHECK(bridged.usage.bytes_up() >= all.size());
    const auto pipes = [] {
        const std::filesystem::directory_iterator open("/proc/self/fd");
        return std::count_if(begin(open), end(open), [](const auto& fd) {
            std::error_code gone;
            return std::filesystem::read_symlink(fd, gone).string().starts_with("pipe:");
        });
    };
    CHECK(pipes() > 0);
    auto writing = loop.start(write_and_end(bridged.server, large));
    CHECK(bool(loop.run(read_all(bridged.client)) == large));
    CHECK(writing.value());
    bridged.client.close();
    CHECK(bridged.end() == BridgeEnd::completed);
    std::signal(SIGPIPE, before);
}

TEST_CASE("pair bridge: a side that does not read holds the other one up, and nothing is lost")
{
    on_each_path([](Path path) {
        for (const bool from_client : {false, true}) {
            CAPTURE(from_client);
            constexpr int kernel_buffer = 32 * 1024;
            Bridged bridged(tcp(kernel_buffer), tcp(kernel_buffer), path);
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
    });
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
    on_each_path([](Path path) {
        Bridged bridged(tcp(), tcp(), path);
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
    });
}

TEST_CASE("pair bridge: a server that resets is a reset for the client, after all that came before")
{
    on_each_path([](Path path) {
        Bridged bridged(tcp(), tcp(), path);
        auto& loop = bridged.loop;
        const auto data = noise(50'000, 1);
        loop.run(bridged.server.write_all(bytes_of(data)));
        REQUIRE(loop.until([&] { return bridged.usage.bytes_down() == data.size(); }));
        bridged.server.abort();
        bool reset = false;
        CHECK(bool(loop.run(read_all(bridged.client, &reset)) == data));
        CHECK(reset);
        CHECK(bridged.end() == BridgeEnd::instance_reset);
    });
}

TEST_CASE("pair bridge: urgent data neither stalls nor loses the bytes around it")
{
    on_each_path([](Path path) {
        for (const bool from_client : {false, true}) {
            CAPTURE(from_client);
            Bridged bridged(tcp(), tcp(), path);
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
    });
}

TEST_CASE("pair bridge: urgent data is urgent at the other end too, and in its place")
{
    for (const auto path : {Path::sockets, Path::hook, Path::slow_hook})
        for (const bool from_client : {false, true}) {
            CAPTURE(static_cast<int>(path));
            CAPTURE(from_client);
            Bridged bridged(tcp(), tcp(), path);
            auto& loop = bridged.loop;
            Stream& writer = from_client ? bridged.client : bridged.server;
            Stream& reader = from_client ? bridged.server : bridged.client;
            const int on = 1;
            REQUIRE(::setsockopt(reader.native_handle(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0);
            for (int i = 0; i < 3; ++i) {
                loop.run(writer.write_all(bytes_of("ab")));
                REQUIRE(::send(writer.native_handle(), "!", 1, MSG_OOB) == 1);
                loop.run(writer.write_all(bytes_of("cd")));
                CHECK(loop.run(read_exactly(reader, 5)) == "ab!cd");
            }
            CHECK(loop.run(write_and_end(writer, "e")));
            CHECK(loop.run(read_all(reader)) == "e");
        }
}

TEST_CASE("pair bridge: a client that resets is noticed while the instance reads nothing")
{
    constexpr int kernel_buffer = 32 * 1024;
    Bridged bridged(tcp(kernel_buffer), tcp(kernel_buffer));
    auto& loop = bridged.loop;
    const auto data = noise(4'000'000, 1);
    auto writing = loop.start(write_and_end(bridged.client, data));
    // Nothing moves any more.
    for (std::uint64_t passed = 0, calm = 0; calm < 50; ++calm) {
        loop.run(asio::steady_timer(loop.executor(), 1ms).async_wait(asio::use_awaitable));
        if (std::exchange(passed, bridged.usage.bytes_up()) != bridged.usage.bytes_up())
            calm = 0;
    }
    bridged.client.abort();
    CHECK(bridged.end() == BridgeEnd::client_reset);
    bool reset = false;
    loop.run(read_all(bridged.server, &reset));
    CHECK(reset);
}

TEST_CASE("pair bridge: one that never stops does not keep the others waiting")
{
    Loop loop;
    PairBridge bridge;
    Usage busy_usage, quiet_usage;
    LinkState busy_state, quiet_state;
    auto busy_client = tcp(), busy_server = tcp(), quiet_client = tcp(), quiet_server = tcp();
    const auto join = [&](Pair& client, Pair& server, Usage& usage, LinkState& state) {
        return std::make_unique<Link>(make_socket_stream(loop.executor(), std::move(client.second)),
                                      make_socket_stream(loop.executor(), std::move(server.second)), usage, state);
    };
    const auto busy = join(busy_client, busy_server, busy_usage, busy_state);
    const auto quiet = join(quiet_client, quiet_server, quiet_usage, quiet_state);
    auto busy_end = loop.start(bridge.run(*busy)), quiet_end = loop.start(bridge.run(*quiet));
    const int writer = busy_client.first.get(), reader = busy_server.first.get();
    std::atomic<bool> enough = false;
    std::thread source([&] {
        const auto data = noise(1 << 20, 1);
        while (!enough && ::send(writer, data.data(), data.size(), MSG_NOSIGNAL) > 0) {}
        ::shutdown(writer, SHUT_WR);
    });
    std::thread sink([&] {
        std::string buffer(1 << 20, '\0');
        while (::recv(reader, buffer.data(), buffer.size(), 0) > 0) {}
        ::shutdown(reader, SHUT_WR);
    });
    auto client = make_socket_stream(loop.executor(), std::move(quiet_client.first));
    auto server = make_socket_stream(loop.executor(), std::move(quiet_server.first));
    for (int i = 0; i < 100; ++i) {
        loop.run(client.write_all(bytes_of("ping")));
        CHECK(loop.run(read_exactly(server, 4)) == "ping");
    }
    enough = true;
    CHECK(loop.until([&] { return busy_end.done(); }));
    source.join();
    sink.join();
    quiet_end.cancel();
    CHECK(loop.until([&] { return quiet_end.done(); }));
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
    on_each_path([](Path path) {
        Bridged bridged(tcp(32 * 1024), unix_domain(), path);
        auto& loop = bridged.loop;
        const auto data = noise(4'000'000, 1);
        auto writing = loop.start(write_and_end(bridged.client, data));
        REQUIRE(loop.until([&] { return bridged.usage.bytes_up() != 0; }));
        loop.settle();
        bridged.bridging.cancel();
        CHECK(bridged.end() == BridgeEnd::cancelled);
        REQUIRE(loop.until([&] { return writing.done(); }));
        CHECK_FALSE(writing.value());
    });
}
