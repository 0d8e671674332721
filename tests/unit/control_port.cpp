// SPDX-License-Identifier: MIT
// The control port's lines and connections, over streams in memory.
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <control_port.hpp>

#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"

using namespace instancer;
using namespace instancer::daemon;
using async_test::Loop;
using instancer::test::FakePeer;

namespace {

std::vector<std::string> lines_of(const std::vector<std::string>& pieces, std::size_t limit = 10)
{
    CommandLines lines(limit);
    std::vector<std::string> all;
    const auto add = [&](const CommandLines::Line& line) { all.push_back(line.too_long ? "too long" : line.text); };
    for (const auto& piece : pieces) {
        lines.feed(piece);
        while (const auto line = lines.next())
            add(*line);
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
