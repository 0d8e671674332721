// SPDX-License-Identifier: MIT
// The control port's lines and connections, over streams in memory.
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <control/control_port.hpp>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/socket_stream.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace instancer;
using namespace instancer::daemon;
using async_test::Loop;
using instancer::test::FakePeer;

namespace {

std::vector<std::string> lines_of(const std::vector<std::string>& pieces, std::size_t limit = 10)
{
    CommandLines lines(limit);
    std::vector<std::string> all;
    const auto add = [&](const CommandLines::Line& line) {
        all.push_back(line.from_browser ? "browser" : line.too_long ? "too long" : line.text);
    };
    for (const auto& piece : pieces) {
        lines.feed(piece);
        while (const auto line = lines.next()) {
            add(*line);
            if (line->from_browser)
                return all;
        }
    }
    if (const auto line = lines.finish())
        add(*line);
    return all;
}

using Lines = std::vector<std::string>;

/// Answers with what was asked.
class Parrot final : public ControlCommands {
public:
    asio::awaitable<ControlReply> obey(std::string line) override
    {
        if (line == "throw")
            throw std::bad_alloc();
        if (line == "exit")
            co_return ControlReply::last("bye\n");
        co_return ControlReply("<" + line + ">\n");
    }
    std::string greeting() const override { return "hello\n"; }
    std::string prompt() const override { return "> "; }
};

/// A port and what it serves; nothing of it is left in the end.
class Port {
public:
    ~Port()
    {
        port.close();
        auto closed = loop.start(port.wait_closed());
        CHECK(loop.until([&] { return closed.done(); }));
    }

    FakePeer connect()
    {
        FakePeer peer(loop.executor());
        port.serve(peer.take_stream());
        loop.settle();
        return peer;
    }

    Loop loop;
    Parrot parrot;
    ControlPort port{loop.executor(), parrot, 1};
};

}  // namespace

TEST_CASE("control port: lines, however they are cut")
{
    CHECK(lines_of({"a\nb\r\n\n\r\nc"}) == Lines{"a", "b", "", "", "c"});
    CHECK(lines_of({"a", "b\nc", "\n", "d\n"}) == Lines{"ab", "c", "d"});
    CHECK(lines_of({""}).empty());
    CHECK(lines_of({std::string("\0\xff\r\r\n", 5)}) == Lines{std::string("\0\xff\r", 3)});
    const std::string text = "0123456789\n01234567890\nkill 1\n01234567890 kill 2\nend";
    const Lines expected = {"0123456789", "too long", "kill 1", "too long", "end"};
    CHECK(lines_of({text}) == expected);
    for (std::size_t first = 0; first < text.size(); ++first)
        for (std::size_t second = first; second < text.size(); ++second)
            CHECK(lines_of({text.substr(0, first), text.substr(first, second - first), text.substr(second)}) ==
                  expected);
}

TEST_CASE("control port: lines of a browser are known, however they are cut and however long they are")
{
    const std::string url(100'000, 'x');
    for (const auto& text :
         {std::string("GET / HTTP/1.1\r\nHost: x\r\n"), "POST /" + url + " HTTP/1.1\nstop\n", url + " / HTTP/1.0\n",
          std::string("OPTIONS * HTTP/2.0"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
          std::string("\x16\3\1\2\0\1\0", 7), std::string("\x16\3\3\n\n\n")}) {
        CAPTURE(text.substr(0, 40));
        CHECK(lines_of({text}) == Lines{"browser"});
        CHECK(lines_of({"a\n" + text}) == Lines{"a", "browser"});
        for (std::size_t first = 0; first < std::min<std::size_t>(text.size(), 30); ++first)
            CHECK(lines_of({text.substr(0, first), text.substr(first, 1), text.substr(first + 1)}) == Lines{"browser"});
    }
    const Lines others = {"HTTP/1.1 200 OK", "GET / xHTTP/1.1", "GET / HTTP", "Host: a",
                          "a HTTP/1.1",      "\x16\x16",        "\x16"};
    for (const auto& text : others)
        CHECK(lines_of({text + "\n"}, 1000) == Lines{text});
}

TEST_CASE("control port: hangs up on a browser, and obeys nothing of what it sends")
{
    Port port;
    for (const std::string start : {"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01"}) {
        auto peer = port.connect();
        peer.send("one\n" + start);
        peer.send("two\n");
        port.loop.settle();
        CHECK(peer.received() == "hello\n> <one>\n> ");
        CHECK(peer.end_received());
        CHECK(peer.gone());
    }
}

TEST_CASE("control port: answers in order, each before the next command")
{
    Port port;
    auto peer = port.connect();
    CHECK(peer.received() == "hello\n> ");
    peer.send("one\ntw");
    peer.send("o\n");
    port.loop.settle();
    CHECK(peer.received() == "hello\n> <one>\n> <two>\n> ");
    peer.send(std::string(1'000'000, 'x'));
    peer.send("\nthree");
    peer.shutdown_send();
    port.loop.settle();
    CHECK(peer.received() == "hello\n> <one>\n> <two>\n> a command has at most 4096 bytes\n> <three>\n> ");
    CHECK(peer.gone());
}

TEST_CASE("control port: who leaves, does not read or says exit harms nobody else")
{
    Port port;
    auto other = port.connect();
    {
        auto peer = port.connect();
        peer.set_room(3);
        peer.send("one\ntwo\n");
        port.loop.settle();
        peer.reset();
        port.loop.settle();
        CHECK(peer.gone());
    }
    {
        auto peer = port.connect();
        peer.send("exit\nnever read\n");
        port.loop.settle();
        CHECK(peer.received() == "hello\n> bye\n");
        CHECK(peer.end_received());
        CHECK(!peer.reset_received());
    }
    {
        auto peer = port.connect();
        peer.send("throw\n");
        port.loop.settle();
        CHECK(peer.gone());
    }
    other.send("still here\n");
    port.loop.settle();
    CHECK(other.received() == "hello\n> <still here>\n> ");
}

TEST_CASE("control port: closing ends a connection that is idle and one that does not read")
{
    {
        Port port;
        auto one = port.connect();
        auto two = port.connect();
        two.set_room(0);
        two.send("a\n");
        port.loop.settle();
        CHECK(!one.gone());
        port.port.close();
        port.loop.settle();
        CHECK(one.gone());
        CHECK(two.gone());
    }
}

TEST_CASE("control port: a connection that has been silent for too long makes room for the next one, no other does")
{
    Loop loop;
    Parrot parrot;
    const auto name = "@instancer-control-" + std::to_string(::getpid());
    const auto connect = [&] {
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const instancer::detail::UnixAddress address(name);
        REQUIRE(::connect(socket.get(), address.data(), address.size()) == 0);
        return make_socket_stream(loop.executor(), std::move(socket));
    };
    const auto serve = [&](ControlPort& port) {
        Acceptors acceptors;
        acceptors.push_back(std::move(*listen_unix(loop.executor(), name)));
        port.serve(std::move(acceptors));
    };
    const auto close = [&](ControlPort& port) {
        port.close();
        auto closed = loop.start(port.wait_closed());
        CHECK(loop.until([&] { return closed.done(); }));
    };
    const auto read = [&](Stream& stream, std::size_t size) {
        return loop.run(socket_pair::read_exactly(stream, size));
    };
    SUBCASE("it was silent")
    {
        ControlPort port(loop.executor(), parrot, 1, std::chrono::seconds(0));
        serve(port);
        auto first = connect();
        CHECK(read(first, 8) == "hello\n> ");
        auto second = connect();
        CHECK(read(second, 8) == "hello\n> ");
        CHECK(loop.run(socket_pair::read_all(first)) == "");
        close(port);
    }
    SUBCASE("it was not")
    {
        ControlPort port(loop.executor(), parrot, 1);
        serve(port);
        auto first = connect();
        CHECK(read(first, 8) == "hello\n> ");
        auto second = connect();
        CHECK(loop.run(socket_pair::read_all(second)) == "too many control connections are open; close one first\n");
        REQUIRE(loop.run(first.write_all(async_test::bytes_of("x\n"))));
        CHECK(read(first, 6) == "<x>\n> ");
        close(port);
    }
}
