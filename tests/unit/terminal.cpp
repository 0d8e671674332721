// SPDX-License-Identifier: MIT
// A terminal that is full still gets the end of its input, when it has room for it.
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/pty.hpp>

#include "bridged.hpp"

using namespace bridged;
using instancer::detail::PtyStream;

namespace {

/// A terminal without room, and the side of the program, which has read nothing yet.
class FullTerminal {
public:
    explicit FullTerminal(Loop& loop)
    {
        auto sides = instancer::detail::open_pty();
        REQUIRE(sides);
        program = std::move(sides->second);
        ::fcntl(program.get(), F_SETFL, O_NONBLOCK);
        stream = Stream(std::make_unique<PtyStream>(loop.executor(), std::move(sides->first)));
        for (;;) {
            const auto count = stream.try_write(bytes_of("a line\n"));
            if (!count)
                break;
            written += std::string("a line\n").substr(0, *count);
        }
    }

    /// Reads what is there, as a program does; true at the end of its input.
    bool read()
    {
        for (;;) {
            char buffer[1000];
            const auto count = ::read(program.get(), buffer, sizeof buffer);
            if (count <= 0)
                return count == 0;
            got.append(buffer, static_cast<std::size_t>(count));
        }
    }

    UniqueFd program;
    Stream stream;
    std::string written, got;
};

/// A client that is joined to a full terminal, and sends `more` and the end.
class EndedClient {
public:
    explicit EndedClient(std::string_view more = {})
    {
        loop.run(client.write_all(bytes_of(more)));
        REQUIRE(client.shutdown_send());
        loop.settle();
    }

    Loop loop;
    FullTerminal terminal{loop};
    Pair connection = tcp();
    Stream client = make_socket_stream(loop.executor(), std::move(connection.first));
    Usage usage;
    LinkState state;
    Link link{make_socket_stream(loop.executor(), std::move(connection.second)), std::move(terminal.stream), usage,
              state};
    PairBridge bridge;
    Task<BridgeEnd> bridging = loop.start(bridge.run(link));
};

}  // namespace

TEST_CASE("terminal: when it is full its end has to wait, and comes after all that was written")
{
    Loop loop;
    FullTerminal terminal(loop);
    const auto refused = terminal.stream.shutdown_send();
    REQUIRE(!refused);
    CHECK(refused.error() == std::error_code(asio::error::would_block));
    bool sent = false;
    REQUIRE(loop.until([&] {
        sent = sent || terminal.stream.shutdown_send();
        return terminal.read();
    }));
    CHECK(sent);
    CHECK(terminal.got.substr(0, terminal.written.size()) == terminal.written);
}

TEST_CASE("terminal: a client that ends while the terminal is full ends the input, and still gets the answer")
{
    EndedClient ended;
    auto& loop = ended.loop;
    REQUIRE(loop.until([&] { return ended.terminal.read(); }));
    REQUIRE(::write(ended.terminal.program.get(), "over", 4) == 4);
    CHECK(loop.run(read_exactly(ended.client, 4)) == "over");
    ended.terminal.program.reset();
    CHECK(loop.run(read_all(ended.client)).empty());
    REQUIRE(loop.until([&] { return ended.bridging.done(); }));
    CHECK(ended.bridging.value() == BridgeEnd::completed);
}

TEST_CASE("terminal: a client that resets is noticed while its end has to wait")
{
    EndedClient ended;
    ended.client.abort();
    REQUIRE(ended.loop.until([&] { return ended.bridging.done(); }));
    CHECK(ended.bridging.value() == BridgeEnd::client_reset);
}

TEST_CASE("terminal: a program that leaves a full terminal ends its client in order")
{
    EndedClient ended;
    ended.terminal.program.reset();
    bool reset = false;
    CHECK(ended.loop.run(read_all(ended.client, &reset)).empty());
    CHECK(!reset);
    REQUIRE(ended.loop.until([&] { return ended.bridging.done(); }));
    CHECK(ended.bridging.value() == BridgeEnd::completed);
}

TEST_CASE("terminal: a program that leaves a full terminal unread ends a client that had more to say")
{
    EndedClient ended("more");
    ended.terminal.program.reset();
    CHECK(ended.loop.run(read_all(ended.client)).empty());
    REQUIRE(ended.loop.until([&] { return ended.bridging.done(); }));
}
