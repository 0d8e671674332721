// SPDX-License-Identifier: MIT
#include "docker_attach.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <string_view>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/write.hpp>

#include <instancer/async/as_result.hpp>

#include "docker_upgrade.hpp"

namespace instancer::detail::inline docker {
namespace {

using Socket = asio::local::stream_protocol::socket;

/// The engine looks for keys that detach, ^P^Q by default, in what goes to a terminal. These are no text in UTF-8.
constexpr auto detach_keys = "%FF%2C%FE%2C%FF%2C%FE%2C%FF%2C%FE%2C%FF%2C%FE";

asio::awaitable<Result<void>> upgrade(Socket& socket, const std::string& path, const std::string& request)
{
    const auto broken = [](const std::error_code& why) {
        return fail(Errc::backend_unavailable, "attaching to the container: " + why.message());
    };
    const asio::local::stream_protocol::endpoint endpoint(path);
    const auto [connected] = co_await socket.async_connect(endpoint, as_result);
    if (connected)
        co_return broken(connected);
    const auto [written, count] = co_await asio::async_write(socket, asio::buffer(request), as_result);
    if (written)
        co_return broken(written);
    UpgradeParser parser;
    while (parser.state() == UpgradeParser::State::incomplete) {
        std::array<char, 1024> piece;
        const auto [received, size] = co_await socket.async_read_some(asio::buffer(piece), as_result);
        if (received)
            co_return broken(received);
        const auto used = parser.feed({piece.data(), size});
        if (parser.state() == UpgradeParser::State::refused)
            co_return fail(Errc::start_failed, "attaching to the container: " + parser.refusal());
        // Nothing follows the head before the container is started.
        if (used != size)
            co_return fail(Errc::start_failed, "attaching to the container: output before its start");
    }
    co_return Result<void>();
}

asio::awaitable<bool> ping(Socket& socket, const std::string& path)
{
    const asio::local::stream_protocol::endpoint endpoint(path);
    const auto [connected] = co_await socket.async_connect(endpoint, as_result);
    if (connected)
        co_return false;
    constexpr std::string_view request = "GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n";
    const auto [written, count] = co_await asio::async_write(socket, asio::buffer(request), as_result);
    if (written)
        co_return false;
    std::array<char, 64> answer;
    const auto [received, size] = co_await socket.async_read_some(asio::buffer(answer), as_result);
    co_return !received;
}

}  // namespace

asio::awaitable<bool> engine_answers(std::string socket_path)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    Socket socket(executor);
    asio::steady_timer deadline(executor, std::chrono::seconds(3));
    const auto outcome = co_await (ping(socket, socket_path) || deadline.async_wait(as_result));
    co_return outcome.index() == 0 && std::get<0>(outcome);
}

asio::awaitable<Result<UniqueFd>> attach(std::string socket_path, std::string version_prefix, std::string id)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    const auto request = "POST " + version_prefix + "/containers/" + id +
                         "/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys=" + detach_keys +
                         " HTTP/1.1\r\nHost: localhost\r\n"
                         "Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n";
    Socket socket(executor);
    asio::steady_timer deadline(executor, std::chrono::seconds(10));
    const auto outcome = co_await (upgrade(socket, socket_path, request) || deadline.async_wait(as_result));
    if (outcome.index() != 0)
        co_return fail(Errc::backend_unavailable, "attaching to the container: no answer");
    const auto& upgraded = std::get<0>(outcome);
    if (!upgraded)
        co_return fail(upgraded.error());
    co_return UniqueFd(socket.release());
}

Result<std::size_t> AttachStream::try_read(std::span<std::byte> buffer)
{
    if (allowance_.left(ReadAllowance::Clock::now()) == 0)
        return fail(std::error_code(asio::error::would_block));
    auto count = SocketStream::try_read(buffer);
    if (!count || *count == 0)
        return count;
    if (const auto kept = unframe(buffer.first(*count)); kept > 0)
        return kept;
    // Nothing for the client: others have their turn before what may follow.
    return fail(std::error_code(asio::error::would_block));
}

asio::awaitable<Result<void>> AttachStream::wait(Readiness what)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (what == Readiness::readable && allowance_.left(ReadAllowance::Clock::now()) == 0) {
        renewal_.emplace(get_executor(), allowance_.renewal());
        const auto [closed] = co_await renewal_->async_wait(as_result);
        if (closed || is_cancelled(cancellation))
            co_return fail(std::error_code(asio::error::operation_aborted));
    }
    co_return co_await SocketStream::wait(what);
}

void AttachStream::close() noexcept
{
    if (renewal_)
        renewal_->cancel();
    SocketStream::close();
}

/// Moves what is for the client to the front of `bytes`, and says how much that is.
std::size_t AttachStream::unframe(std::span<std::byte> bytes)
{
    std::size_t kept = 0;
    frames_.feed(bytes, [&](bool is_stderr, std::span<std::byte> piece) {
        if (!is_stderr || stderr_to_ == StderrTo::client) {
            std::memmove(bytes.data() + kept, piece.data(), piece.size());
            kept += piece.size();
            return;
        }
        allowance_.use(piece.size());
        if (stderr_to_ == StderrTo::log)
            lines_.feed({reinterpret_cast<const char*>(piece.data()), piece.size()});
    });
    return kept;
}

}  // namespace instancer::detail::inline docker
