// SPDX-License-Identifier: MIT
// Streams over real sockets.
#include <string>

#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/tcp.h>

#include <instancer/lingering_close.hpp>
#include <instancer/socket_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using namespace socket_pair;
using instancer::make_socket_stream;
using instancer::Readiness;

namespace {

/// Both ends of a connection.
class Ends {
public:
    Ends(Loop& loop, Pair pair)
        : one(make_socket_stream(loop.executor(), std::move(pair.first))),
          other(make_socket_stream(loop.executor(), std::move(pair.second)))
    {
    }

    Stream one, other;
};

/// Runs a test over both kinds.
template <class Test>
void over_each_kind(const Test& test)
{
    for (const bool is_tcp : {false, true}) {
        CAPTURE(is_tcp);
        Loop loop;
        Ends ends(loop, is_tcp ? tcp() : unix_domain());
        test(loop, ends, is_tcp);
    }
}

}  // namespace

TEST_CASE("socket stream: bytes and ends in order, each way by itself")
{
    over_each_kind([](Loop& loop, Ends& ends, bool) {
        CHECK(try_read(ends.other) == "would block");
        loop.run(ends.one.write_all(bytes_of("hello")));
        CHECK(loop.run(read_exactly(ends.other, 5)) == "hello");
        CHECK(ends.one.shutdown_send());
        CHECK(loop.run(read_all(ends.other)) == "");
        loop.run(ends.other.write_all(bytes_of("late answer")));
        ends.other.close();
        CHECK(loop.run(read_all(ends.one)) == "late answer");
    });
}

TEST_CASE("socket stream: large data arrives whole, whoever is slower")
{
    over_each_kind([](Loop& loop, Ends& ends, bool) {
        const auto up = noise(2'000'000, 1), down = noise(1'000'000, 2);
        auto writing = loop.start(write_and_end(ends.one, up, 3));
        auto answering = loop.start(write_and_end(ends.other, down, 4));
        auto reading = loop.start(read_all(ends.other, nullptr, 5));
        auto receiving = loop.start(read_all(ends.one, nullptr, 6));
        REQUIRE(loop.until([&] { return reading.done() && receiving.done(); }));
        CHECK(writing.value());
        CHECK(answering.value());
        CHECK(bool(reading.value() == up));
        CHECK(bool(receiving.value() == down));
    });
}

TEST_CASE("socket stream: it never blocks, whatever a program that shares the socket has set")
{
    for (const bool is_tcp : {false, true}) {
        CAPTURE(is_tcp);
        Loop loop;
        auto pair = is_tcp ? tcp() : unix_domain();
        const UniqueFd shared(::fcntl(pair.first.get(), F_DUPFD_CLOEXEC, 3));
        Ends ends(loop, std::move(pair));
        ::fcntl(shared.get(), F_SETFL, ::fcntl(shared.get(), F_GETFL) & ~O_NONBLOCK);
        CHECK(try_read(ends.one) == "would block");
        const auto much = noise(1'000'000, 1);
        while (ends.one.try_write(much)) {}
        CHECK(ends.one.try_write(much).error() == std::error_code(asio::error::would_block));
        instancer::lingering_close(ends.one);
    }
}

TEST_CASE("socket stream: a close that a program has made wait does not wait, and one that resets still does")
{
    const auto pair = tcp();
    const auto how = [&] {
        linger set{};
        socklen_t size = sizeof set;
        REQUIRE(::getsockopt(pair.first.get(), SOL_SOCKET, SO_LINGER, &set, &size) == 0);
        return std::pair(set.l_onoff, set.l_linger);
    };
    for (const auto& [set, then] :
         {std::pair(linger{1, 60}, 0), std::pair(linger{1, 0}, 1), std::pair(linger{0, 0}, 0)}) {
        ::setsockopt(pair.first.get(), SOL_SOCKET, SO_LINGER, &set, sizeof set);
        instancer::detail::forbid_waiting_close(pair.first.get());
        CHECK(how().first == then);
    }
}

TEST_CASE("socket stream: abort is a reset over TCP and an end elsewhere")
{
    over_each_kind([](Loop& loop, Ends& ends, bool is_tcp) {
        ends.one.abort();
        ends.one.abort();
        bool reset = false;
        CHECK(loop.run(read_all(ends.other, &reset)) == "");
        CHECK(reset == is_tcp);
    });
}

TEST_CASE("socket stream: a half-close is not gone; a close and a reset are")
{
    over_each_kind([](Loop& loop, Ends& ends, bool is_tcp) {
        auto gone = loop.start(ends.one.wait(Readiness::gone));
        loop.run(ends.other.write_all(bytes_of("data")));
        CHECK(ends.other.shutdown_send());
        CHECK(loop.run(read_exactly(ends.one, 5)) == "data EOF");
        loop.settle();
        CHECK_FALSE(gone.done());
        if (is_tcp)
            ends.other.abort();
        else
            ends.other.close();
        REQUIRE(loop.until([&] { return gone.done(); }));
        CHECK(gone.value().has_value());
    });
}

TEST_CASE("socket stream: urgent data is not gone, and does not keep a later reset from being noticed")
{
    Loop loop;
    Ends ends(loop, tcp());
    auto gone = loop.start(ends.one.wait(Readiness::gone));
    loop.settle();
    REQUIRE(::send(ends.other.native_handle(), "!", 1, MSG_OOB) == 1);
    loop.run(ends.other.write_all(bytes_of("ab")));
    CHECK(loop.run(read_exactly(ends.one, 2)) == "ab");
    loop.settle();
    CHECK_FALSE(gone.done());
    ends.other.abort();
    REQUIRE(loop.until([&] { return gone.done(); }));
    CHECK(gone.value().has_value());
}

TEST_CASE("socket stream: every wait ends when it is cancelled, was cancelled before, or the stream ends")
{
    over_each_kind([](Loop& loop, Ends&, bool is_tcp) {
        for (const auto what : {Readiness::readable, Readiness::writable, Readiness::gone}) {
            Ends ends(loop, is_tcp ? tcp() : unix_domain());
            if (what == Readiness::writable)
                while (ends.one.try_write(bytes_of(std::string(100'000, 'x')))) {}
            auto cancelled = loop.start(ends.one.wait(what));
            loop.settle();
            REQUIRE_FALSE(cancelled.done());
            cancelled.cancel();
            REQUIRE(loop.until([&] { return cancelled.done(); }));
            CHECK(aborted(cancelled.value()));

            auto before = loop.start_cancelled(ends.one.wait(what));
            REQUIRE(loop.until([&] { return before.done(); }));
            CHECK(aborted(before.value()));

            auto ended = loop.start(ends.one.wait(what));
            loop.settle();
            REQUIRE_FALSE(ended.done());
            if (is_tcp)
                ends.one.abort();
            else
                ends.one.close();
            REQUIRE(loop.until([&] { return ended.done(); }));
            CHECK(aborted(ended.value()));
            CHECK(aborted(loop.run(ends.one.wait(what))));
        }
    });
}

TEST_CASE("socket stream: reading and writing end when they were cancelled before")
{
    over_each_kind([](Loop& loop, Ends& ends, bool) {
        auto reading = loop.start_cancelled(read_all(ends.one));
        REQUIRE(loop.until([&] { return reading.done(); }));
        while (ends.one.try_write(bytes_of(std::string(100'000, 'x')))) {}
        auto writing = loop.start_cancelled(ends.one.write_all(bytes_of("x")));
        REQUIRE(loop.until([&] { return writing.done(); }));
        CHECK(aborted(writing.value()));
    });
}

TEST_CASE("socket stream: moved to another executor it goes on there")
{
    over_each_kind([](Loop& loop, Ends& ends, bool) {
        Loop elsewhere;
        Stream moved = std::move(ends.one);
        CHECK(moved.rebind(elsewhere.executor()));
        CHECK(moved.get_executor() == elsewhere.executor());
        auto reading = elsewhere.start(read_exactly(moved, 5));
        loop.run(ends.other.write_all(bytes_of("hello")));
        REQUIRE(elsewhere.until([&] { return reading.done(); }));
        CHECK(reading.value() == "hello");
    });
}

TEST_CASE("socket stream: it stays on its executor, of whatever kind")
{
    Loop loop;
    const asio::any_io_executor plain = loop.executor(), strand = asio::make_strand(plain);
    for (const auto& executor : {plain, strand}) {
        auto pair = tcp();
        const Stream other = make_socket_stream(plain, std::move(pair.second));
        Stream stream = make_socket_stream(executor, std::move(pair.first));
        CHECK(bool(stream.get_executor() == executor));
        CHECK(stream.rebind(strand));
        CHECK(bool(stream.get_executor() == strand));
        CHECK(stream.rebind(plain));
        CHECK(bool(stream.get_executor() == plain));
    }
}

TEST_CASE("socket stream: the descriptor can be taken out, open")
{
    over_each_kind([](Loop& loop, Ends& ends, bool) {
        const int handle = ends.one.native_handle();
        const auto descriptor = ends.one.release();
        CHECK(descriptor.get() == handle);
        CHECK_FALSE(ends.one);
        REQUIRE(::send(handle, "x", 1, 0) == 1);
        CHECK(loop.run(read_exactly(ends.other, 1)) == "x");
    });
}

TEST_CASE("socket stream: TCP connections have no delay and are kept alive")
{
    Loop loop;
    Ends ends(loop, tcp());
    const auto option = [&](int level, int name) {
        int value = 0;
        socklen_t size = sizeof value;
        REQUIRE(::getsockopt(ends.one.native_handle(), level, name, &value, &size) == 0);
        return value;
    };
    CHECK(option(IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option(SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK((::fcntl(ends.one.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
}
