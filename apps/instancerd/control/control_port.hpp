// SPDX-License-Identifier: MIT
// Commands that an operator types while we serve, one a line, and their answers.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/stream.hpp>

#include "daemon/listen.hpp"

namespace instancer::daemon {

/// Notices lines that a web browser sends: an HTTP request line, `WORD TARGET HTTP/...`, and the beginning of a TLS
/// record. A page of anybody can have them sent to any port, with commands behind them.
class BrowserLine {
public:
    /// Takes a part of the line, without its end.
    void feed(std::string_view bytes);

    /// Whether the line, as far as it has come, is one.
    bool matches() const noexcept { return third_word_ == version || is_tls_record(); }

private:
    static constexpr std::string_view version = "HTTP/";
    static constexpr std::size_t record_start = 3;  ///< Content type and version.

    bool is_tls_record() const noexcept;

    std::string start_;       ///< As many bytes as a record's start has.
    std::string third_word_;  ///< As many bytes of it as `version` has.
    std::size_t words_ = 0;
    bool in_word_ = false;
};

/// Makes lines of bytes that come in pieces. Of a line that is too long nothing is kept: a part of it could be another
/// command.
class CommandLines {
public:
    class Line {
    public:
        Line(std::string bytes, bool longer) : text(std::move(bytes)), too_long(longer) {}

        /// Nothing that follows it may be obeyed.
        static Line of_browser()
        {
            Line line({}, false);
            line.from_browser = true;
            return line;
        }

        std::string text;           ///< Without its end, `\n` or `\r\n`; any other bytes may be in it.
        bool too_long;              ///< It had more bytes than the limit.
        bool from_browser = false;  ///< See BrowserLine.
    };

    explicit CommandLines(std::size_t limit) : limit_(limit) {}

    void feed(std::string_view bytes) { unread_ += bytes; }

    /// The next line that is complete, or that is a browser's as far as it has come.
    std::optional<Line> next();

    /// The last line, which lacks its end; none when it is empty. Call it when `next` gives no more.
    std::optional<Line> finish();

private:
    Line take();

    std::size_t limit_;
    std::string unread_;
    std::string line_;
    BrowserLine browser_;
    bool too_long_ = false;
};

/// Whether only this machine reaches the address of a listener.
bool is_local(std::string_view address);

/// What a command is answered with.
class ControlReply {
public:
    ControlReply(std::string text) : text_(std::move(text)) {}

    /// The connection ends after it.
    static ControlReply last(std::string text)
    {
        ControlReply reply(std::move(text));
        reply.is_last_ = true;
        return reply;
    }

    const std::string& text() const noexcept { return text_; }
    bool is_last() const noexcept { return is_last_; }

private:
    std::string text_;
    bool is_last_ = false;
};

/// Who obeys the commands. Derive, and implement `obey`.
///
/// Threads: the executor of the ControlPort.
class ControlCommands {
public:
    virtual ~ControlCommands() = default;

    /// What `line` is answered with, line ends included. The line is as somebody sent it: any bytes may be in it.
    ///
    /// Concurrency: one call for each connection.
    virtual asio::awaitable<ControlReply> obey(std::string line) = 0;

    /// What a connection begins with.
    virtual std::string greeting() const { return {}; }

    /// What follows the greeting and each answer.
    virtual std::string prompt() const { return {}; }

    /// What a line of more than `ControlPort::max_line` bytes is answered with.
    virtual std::string too_long() const;

    /// What a connection is told that is one too many.
    virtual std::string too_many() const;
};

/// Reads commands from connections and a terminal and writes the answers: one command after the other, each answer
/// before the next command. A browser is hung up on. Nobody who sends garbage, never ends a line, does not read or
/// hangs up can hold up anything but that connection; one that is silent makes room where there are too many.
///
/// Lifetime: `commands` must stay until `wait_closed` has completed, and so must this.
/// Threads: every member on the executor.
class ControlPort {
public:
    static constexpr std::size_t max_line = 4096;

    using Clock = std::chrono::steady_clock;

    /// `max_connections`: at once, not counting a terminal. `silence`: how long a connection may send nothing and keep
    /// its place when another one comes.
    ControlPort(asio::any_io_executor executor, ControlCommands& commands, std::size_t max_connections,
                Clock::duration silence = std::chrono::minutes(1));
    ControlPort(const ControlPort&) = delete;
    ControlPort& operator=(const ControlPort&) = delete;

    /// Takes connections from now on.
    void serve(Acceptors acceptors);

    /// Obeys this one too, such as a terminal, however many there are.
    void serve(Stream stream);

    /// Ends all connections and takes no more.
    void close();

    /// Completes some time after `close`, when nothing of it is left.
    asio::awaitable<void> wait_closed();

private:
    class Connection {
    public:
        explicit Connection(Stream taken) : stream(std::move(taken)) {}

        Stream stream;
        Clock::time_point heard = Clock::now();
        bool is_welcome = true;
        bool has_place = false;  ///< It is one of those that are counted.
        bool displaced = false;
    };
    using Connections = std::list<Connection>;

    void spawn(asio::awaitable<void> task);
    asio::awaitable<void> accept_loop(Acceptor& acceptor);
    asio::awaitable<void> talk(Connections::iterator connection);
    asio::awaitable<void> converse(Connection& connection);

    /// Whether there is a place, now that one that has been silent for too long has left it.
    bool make_room();
    void leave_place(Connection& connection);
    asio::awaitable<bool> answer(Stream& stream, CommandLines::Line line);
    asio::awaitable<bool> say(Stream& stream, std::string text);

    asio::any_io_executor executor_;
    ControlCommands& commands_;
    std::size_t max_connections_;
    Clock::duration silence_;
    Acceptors acceptors_;
    Connections connections_;
    std::size_t counted_ = 0;
    std::size_t tasks_ = 0;
    bool closing_ = false;
    AsyncEvent closed_;
};

}  // namespace instancer::daemon
