// SPDX-License-Identifier: MIT
#include "control/control_port.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <span>

#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/lingering_close.hpp>

namespace instancer::daemon {

namespace {

/// After this long a client that does not read its answer is let go: others may wait for their turn. A guess.
constexpr std::chrono::seconds patience{10};

}  // namespace

void BrowserLine::feed(std::string_view bytes)
{
    start_ += bytes.substr(0, record_start - start_.size());
    for (const char byte : bytes) {
        const bool is_blank = byte == ' ' || byte == '\t';
        if (!is_blank && !in_word_)
            ++words_;
        in_word_ = !is_blank;
        if (in_word_ && words_ == 3 && third_word_.size() < version.size())
            third_word_ += byte;
    }
}

bool BrowserLine::is_tls_record() const noexcept
{
    constexpr char first_type = 20, last_type = 23, major = 3, last_minor = 4;
    return start_.size() == record_start && start_[0] >= first_type && start_[0] <= last_type && start_[1] == major &&
           start_[2] >= 0 && start_[2] <= last_minor;
}

std::optional<CommandLines::Line> CommandLines::next()
{
    const auto end = unread_.find('\n');
    const auto part = std::string_view(unread_).substr(0, end);
    browser_.feed(part);
    if (browser_.matches())
        return Line::of_browser();
    too_long_ = too_long_ || line_.size() + part.size() > limit_;
    if (too_long_)
        line_.clear();
    else
        line_ += part;
    unread_.erase(0, end == unread_.npos ? end : end + 1);
    if (end == unread_.npos)
        return std::nullopt;
    return take();
}

std::optional<CommandLines::Line> CommandLines::finish()
{
    if (line_.empty() && !too_long_)
        return std::nullopt;
    return take();
}

CommandLines::Line CommandLines::take()
{
    if (!line_.empty() && line_.back() == '\r')
        line_.pop_back();
    browser_ = {};
    return Line(std::exchange(line_, {}), std::exchange(too_long_, false));
}

bool is_local(std::string_view address)
{
    return address.starts_with("127.") || address.starts_with("[::1]") || address.starts_with("unix:");
}

std::string ControlCommands::too_long() const
{
    return "a command has at most " + std::to_string(ControlPort::max_line) + " bytes\n";
}

std::string ControlCommands::too_many() const { return "too many control connections are open; close one first\n"; }

ControlPort::ControlPort(asio::any_io_executor executor, ControlCommands& commands, std::size_t max_connections,
                         Clock::duration silence)
    : executor_(std::move(executor)),
      commands_(commands),
      max_connections_(max_connections),
      silence_(silence),
      closed_(executor_)
{
}

void ControlPort::serve(Acceptors acceptors)
{
    for (auto& acceptor : acceptors) {
        acceptors_.push_back(std::move(acceptor));
        spawn(accept_loop(*acceptors_.back()));
    }
}

void ControlPort::serve(Stream stream)
{
    connections_.emplace_front(std::move(stream));
    spawn(talk(connections_.begin()));
}

void ControlPort::close()
{
    closing_ = true;
    for (const auto& acceptor : acceptors_)
        acceptor->close();
    for (auto& connection : connections_)
        connection.stream.close();
    if (tasks_ == 0)
        closed_.set();
}

asio::awaitable<void> ControlPort::wait_closed() { co_await closed_.wait(); }

void ControlPort::spawn(asio::awaitable<void> task)
{
    ++tasks_;
    asio::co_spawn(executor_, std::move(task), [this](std::exception_ptr) {
        if (--tasks_ == 0 && closing_)
            closed_.set();
    });
}

asio::awaitable<void> ControlPort::accept_loop(Acceptor& acceptor)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!closing_) {
        auto accepted = co_await acceptor.accept(executor_);
        if (accepted && !closing_) {
            const bool is_welcome = make_room();
            auto& connection = connections_.emplace_front(std::move(accepted->stream()));
            connection.is_welcome = connection.has_place = is_welcome;
            counted_ += is_welcome ? 1 : 0;
            spawn(talk(connections_.begin()));
        } else if (!accepted && accepted.error() == std::error_code(asio::error::operation_aborted)) {
            co_return;
        } else if (!accepted) {
            // Out of descriptors, as a rule.
            asio::steady_timer pause(executor_, std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
        }
    }
}

bool ControlPort::make_room()
{
    if (counted_ < max_connections_)
        return true;
    const auto is_older = [](const Connection& a, const Connection& b) {
        return a.has_place != b.has_place ? a.has_place : a.heard < b.heard;
    };
    const auto silent = std::min_element(connections_.begin(), connections_.end(), is_older);
    if (silent == connections_.end() || !silent->has_place || Clock::now() - silent->heard < silence_)
        return false;
    leave_place(*silent);
    silent->displaced = true;
    silent->stream.close();
    return true;
}

void ControlPort::leave_place(Connection& connection)
{
    if (std::exchange(connection.has_place, false))
        --counted_;
}

asio::awaitable<void> ControlPort::talk(Connections::iterator connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        if (connection->is_welcome)
            co_await converse(*connection);
        else
            co_await say(connection->stream, commands_.too_many());
    } catch (const std::exception&) {
        // No memory: that connection ends.
    }
    leave_place(*connection);
    // The last answer must not be lost for what was sent and nobody wants to read.
    if (!closing_ && !connection->displaced)
        lingering_close(connection->stream);
    connections_.erase(connection);
}

asio::awaitable<void> ControlPort::converse(Connection& connection)
{
    auto& stream = connection.stream;
    bool goes_on = co_await say(stream, commands_.greeting() + commands_.prompt());
    CommandLines lines(max_line);
    std::array<std::byte, 4096> buffer;
    while (goes_on && !closing_) {
        const auto count = co_await stream.read_some(buffer);
        const bool ended = count.value_or(0) == 0;
        connection.heard = Clock::now();
        if (!ended)
            lines.feed({reinterpret_cast<const char*>(buffer.data()), *count});
        while (goes_on && !closing_) {
            auto line = lines.next();
            if (!line && ended)
                line = lines.finish();
            if (!line)
                break;
            goes_on = co_await answer(stream, std::move(*line));
        }
        goes_on = goes_on && !ended;
    }
}

/// Whether another command may follow.
asio::awaitable<bool> ControlPort::answer(Stream& stream, CommandLines::Line line)
{
    if (line.from_browser)
        co_return false;
    if (line.too_long)
        co_return co_await say(stream, commands_.too_long() + commands_.prompt());
    const auto reply = co_await commands_.obey(std::move(line.text));
    if (closing_)
        co_return false;
    if (reply.is_last()) {
        co_await say(stream, reply.text());
        co_return false;
    }
    co_return co_await say(stream, reply.text() + commands_.prompt());
}

/// False when the connection is of no more use.
asio::awaitable<bool> ControlPort::say(Stream& stream, std::string text)
{
    using namespace asio::experimental::awaitable_operators;
    if (text.empty())
        co_return true;
    asio::steady_timer limit(executor_, patience);
    const auto bytes = std::as_bytes(std::span(text));
    const auto first = co_await (stream.write_all(bytes) || limit.async_wait(as_result));
    co_return first.index() == 0 && std::get<0>(first).has_value();
}

}  // namespace instancer::daemon
