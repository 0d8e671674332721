// SPDX-License-Identifier: MIT
// A terminal that is full still gets the end of its input, when it has room for it.
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <instancer/detail/process/pty.hpp>

#include "bridged.hpp"

using namespace bridged;
using instancer::TerminalMode;
using instancer::detail::PtyStream;

namespace {

/// A terminal without room, and the side of the program, which has read nothing yet.
class FullTerminal {
public:
    explicit FullTerminal(Loop& loop)
    {
        auto sides = instancer::detail::open_pty(TerminalMode::cooked);
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

namespace {

/// Both sides of a terminal.
class Terminal {
    Loop loop_;

public:
    explicit Terminal(TerminalMode mode)
    {
        auto sides = instancer::detail::open_pty(mode);
        REQUIRE(sides);
        program_ = std::move(sides->second);
        ::fcntl(program_.get(), F_SETFL, O_NONBLOCK);
        stream = Stream(std::make_unique<PtyStream>(loop_.executor(), std::move(sides->first)));
    }

    /// The program sets flags and takes others away.
    void set(tcflag_t termios::*flags, tcflag_t on, tcflag_t off) const
    {
        termios settings{};
        REQUIRE(::tcgetattr(program_.get(), &settings) == 0);
        settings.*flags = (settings.*flags & ~off) | on;
        REQUIRE(::tcsetattr(program_.get(), TCSANOW, &settings) == 0);
    }

    void write(std::string_view text) { loop_.run(stream.write_all(text)); }

    /// All that the program can read now.
    std::string read() const
    {
        std::string all;
        char buffer[1000];
        for (;;) {
            const auto count = ::read(program_.get(), buffer, sizeof buffer);
            if (count < 0)
                return all;
            all += count == 0 ? "<end>" : std::string(buffer, static_cast<std::size_t>(count));
        }
    }

    Stream stream;

private:
    UniqueFd program_;
};

const std::string every_byte = [] {
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    return all;
}();

}  // namespace

TEST_CASE("terminal: a raw one passes on every byte, and knows no end")
{
    SUBCASE("from the beginning")
    {
        Terminal terminal(TerminalMode::raw);
        terminal.write(every_byte + "\r\nAB");
        CHECK(terminal.stream.shutdown_send());
        CHECK(terminal.read() == every_byte + "\r\nAB");
    }
    SUBCASE("when its program has made it so")
    {
        Terminal terminal(TerminalMode::cooked);
        terminal.set(&termios::c_lflag, 0, ICANON | ISIG | IEXTEN);
        terminal.set(&termios::c_iflag, 0, ICRNL | IXON);
        terminal.write(every_byte + "\r\nAB");
        CHECK(terminal.stream.shutdown_send());
        CHECK(terminal.read() == every_byte + "\r\nAB");
    }
}

TEST_CASE("terminal: its end is the character that its program has set, also for one that edits lines by itself")
{
    Terminal terminal(TerminalMode::cooked);
    SUBCASE("whole lines")
    {
        CHECK(terminal.stream.shutdown_send());
        CHECK(terminal.read().starts_with("<end>"));
    }
    SUBCASE("single keys")
    {
        terminal.set(&termios::c_lflag, 0, ICANON);
        CHECK(terminal.stream.shutdown_send());
        CHECK(terminal.read().starts_with("\4"));
    }
}

TEST_CASE("terminal: CR LF is one end of a line, and LF is dropped only where CR is made one")
{
    Terminal terminal(TerminalMode::cooked);
    SUBCASE("in one piece")
    {
        terminal.write("one\r\ntwo\r\n\r\nthree\n\nfour\r\r\n");
        CHECK(terminal.read() == "one\ntwo\n\nthree\n\nfour\n\n");
    }
    SUBCASE("byte by byte")
    {
        for (const char byte : std::string("one\r\ntwo\r\n\nthree\r\n"))
            terminal.write(std::string(1, byte));
        CHECK(terminal.read() == "one\ntwo\n\nthree\n");
    }
    SUBCASE("not where CR stays CR")
    {
        terminal.set(&termios::c_iflag, 0, ICRNL);
        terminal.write("one\r\ntwo\r\n");
        CHECK(terminal.read() == "one\r\ntwo\r\n");
    }
    SUBCASE("not once the terminal is raw")
    {
        terminal.write("one\r");
        CHECK(terminal.read() == "one\n");
        terminal.set(&termios::c_lflag, 0, ICANON);
        terminal.write("\ntwo");
        CHECK(terminal.read() == "\ntwo");
    }
}

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
