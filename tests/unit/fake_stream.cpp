// SPDX-License-Identifier: MIT
// The fake stream keeps the contract of Stream, so that a test with it says something about the real ones.
#include <string>

#include <doctest/doctest.h>

#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::Readiness;
using instancer::Result;
using instancer::Stream;
using instancer::test::FakePeer;

TEST_CASE("fake stream: segments come out one by one, then the end")
{
    Loop loop;
    FakePeer peer(loop.executor());
    Stream stream = peer.take_stream();
    CHECK(try_read(stream) == "would block");
    peer.send("one");
    peer.send("two");
    peer.shutdown_send();
    CHECK(peer.unread() == 6);
    CHECK(try_read(stream, 2) == "on");
    CHECK(try_read(stream) == "e");
    CHECK(try_read(stream) == "two");
    CHECK(try_read(stream) == "eof");
    CHECK(try_read(stream) == "eof");
    CHECK(stream.try_write(bytes_of("still")).value() == 5);
}

TEST_CASE("fake stream: a reader waits for bytes, for the end and for a reset")
{
    Loop loop;
    FakePeer peer(loop.executor());
    Stream stream = peer.take_stream();
    std::string buffer(16, '\0');
    const auto reading = [&] { return loop.start(stream.read_some(std::as_writable_bytes(std::span(buffer)))); };

    auto task = reading();
    loop.settle();
    CHECK_FALSE(task.done());
    peer.send("abc");
    loop.settle();
    CHECK(task.value().value() == 3);
    task = reading();
    loop.settle();
    SUBCASE("end")
    {
        peer.shutdown_send();
        loop.settle();
        CHECK(task.value().value() == 0);
    }
    SUBCASE("reset")
    {
        peer.reset();
        loop.settle();
        CHECK(task.value().error() == std::error_code(asio::error::connection_reset));
        CHECK(try_read(stream) == "reset");
        CHECK_FALSE(stream.try_write(bytes_of("x")));
    }
    SUBCASE("abort")
    {
        stream.abort();
        loop.settle();
        CHECK(task.value().error() == std::error_code(asio::error::operation_aborted));
        CHECK(peer.reset_received());
    }
    SUBCASE("cancellation")
    {
        task.cancel();
        loop.settle();
        CHECK(task.value().error() == std::error_code(asio::error::operation_aborted));
        CHECK_FALSE(peer.gone());
    }
}

TEST_CASE("fake stream: what was written before arrives, and a writer waits for room")
{
    Loop loop;
    FakePeer peer(loop.executor());
    Stream stream = peer.take_stream();
    peer.set_room(4);
    auto writing = loop.start(stream.write_all(bytes_of("abcdef")));
    loop.settle();
    CHECK(peer.received() == "abcd");
    CHECK_FALSE(writing.done());
    auto changed = loop.start(peer.changed());
    peer.set_room(100);
    loop.settle();
    CHECK(writing.value().has_value());
    CHECK(changed.done());
    CHECK(peer.received() == "abcdef");
    CHECK_FALSE(peer.end_received());
    CHECK(stream.shutdown_send().has_value());
    CHECK(peer.end_received());
    CHECK_FALSE(stream.try_write(bytes_of("x")));
    peer.send("answer");
    CHECK(try_read(stream) == "answer");
}

TEST_CASE("fake stream: gone means reset or closed both ways, not a half-close")
{
    Loop loop;
    FakePeer peer(loop.executor());
    Stream stream = peer.take_stream();
    auto gone = loop.start(stream.wait(Readiness::gone));
    peer.send("data");
    peer.shutdown_send();
    loop.settle();
    CHECK_FALSE(gone.done());
    SUBCASE("closed")
    {
        peer.close();
        loop.settle();
        CHECK(gone.value().has_value());
        CHECK(try_read(stream) == "data");
        CHECK(try_read(stream) == "eof");
        CHECK_FALSE(stream.try_write(bytes_of("x")));
    }
    SUBCASE("reset")
    {
        peer.reset();
        loop.settle();
        CHECK(gone.value().has_value());
        CHECK(try_read(stream) == "reset");
    }
}

TEST_CASE("fake stream: a look at a stream that is no socket reads, and gives back what it saw")
{
    Loop loop;
    FakePeer peer(loop.executor());
    Stream stream = peer.take_stream();
    peer.send("mine, yours");
    std::string buffer(100, '\0');
    CHECK(loop.run(stream.peek_some(std::as_writable_bytes(std::span(buffer)))).value() == 11);
    CHECK(stream.unread_size() == 11);
    CHECK(loop.run(stream.peek_some(std::as_writable_bytes(std::span(buffer).first(4)))).value() == 4);
    stream.consume(6);
    peer.send(" too");
    CHECK(try_read(stream) == "yours");
    CHECK(try_read(stream) == " too");
}

TEST_CASE("fake stream: a stream that is destroyed is closed, and one that is moved is not")
{
    Loop loop;
    FakePeer peer(loop.executor());
    {
        Stream stream = peer.take_stream();
        Stream other = std::move(stream);
        CHECK_FALSE(peer.gone());
        CHECK(other.native_handle() == -1);
    }
    CHECK(peer.gone());
    CHECK(peer.end_received());
    CHECK_FALSE(peer.reset_received());
}
