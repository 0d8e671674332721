// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/connect.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL bool is_connected_to_itself(int fd, const asio::ip::tcp::endpoint& endpoint) noexcept
{
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
    return size == endpoint.size() && std::memcmp(&local, endpoint.data(), size) == 0;
}

INSTANCER_DECL Error connect_error(const asio::ip::tcp::endpoint& endpoint, int number)
{
    const auto text = "connecting to " + ClientInfo::format(endpoint);
    const auto error = system_error(number);
    if (number == ECONNREFUSED || number == ECONNRESET)
        return Error(Errc::not_ready, text + ": " + error.message());
    const auto& address = endpoint.address();
    if (number == EINVAL && address.is_v6() && address.to_v6().is_link_local() && address.to_v6().scope_id() == 0)
        return Error(error, text + ", which takes the name of an interface, as in " + address.to_string() + "%eth0");
    return Error(error, text);
}

INSTANCER_DECL asio::awaitable<Result<Stream>> connect(UniqueFd socket, asio::ip::tcp::endpoint endpoint,
                                                       std::chrono::milliseconds limit,
                                                       std::shared_ptr<const std::string> peer)
{
    const auto executor = co_await asio::this_coro::executor;
    const int fd = socket.get();
    set_tcp_options(fd);
    Stream stream(
        std::make_unique<SocketStream>(executor, std::move(socket), SocketStream::Made::by_us_tcp, std::move(peer)));
    int error = begin_connect(fd, endpoint);
    if (error == EALREADY) {
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer deadline(executor, limit);
        while (error == EALREADY) {
            const auto first = co_await (stream.wait(Readiness::writable) || deadline.async_wait(as_result));
            if (first.index() == 1)
                co_return fail(connect_took_too_long(endpoint));
            if (const auto& ready = std::get<0>(first); !ready)
                co_return fail(ready.error());
            error = try_connect(fd, endpoint);
        }
    }
    if (error == 0 && is_connected_to_itself(fd, endpoint)) {
        stream.abort();
        error = ECONNREFUSED;
    }
    if (error != 0)
        co_return fail(connect_error(endpoint, error));
    co_return stream;
}

INSTANCER_DECL asio::awaitable<Result<Stream>> connect_loopback(std::uint16_t port)
{
    UniqueFd v4(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!v4)
        co_return fail(last_error(), "making a socket");
    const asio::ip::tcp::endpoint v4_endpoint(asio::ip::address_v4::loopback(), port);
    auto stream = co_await connect(std::move(v4), v4_endpoint);
    if (stream || stream.error() != Errc::not_ready)
        co_return stream;
    UniqueFd v6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!v6)
        co_return stream;
    const asio::ip::tcp::endpoint v6_endpoint(asio::ip::address_v6::loopback(), port);
    auto other = co_await connect(std::move(v6), v6_endpoint);
    if (other)
        co_return other;
    co_return stream;
}

}  // namespace instancer::detail
