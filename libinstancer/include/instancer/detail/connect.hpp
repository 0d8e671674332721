// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <utility>

#include <asio/ip/address_v4.hpp>
#include <asio/ip/address_v6.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/this_coro.hpp>

#include <instancer/client.hpp>
#include <instancer/socket_stream.hpp>

namespace instancer::detail {

/// Finishes `socket`'s connection to `endpoint`, on the calling coroutine's executor. The socket does not block.
///
/// Errors: Errc::not_ready when nobody listens there; what the system reports.
inline asio::awaitable<Result<Stream>> connect(UniqueFd socket, asio::ip::tcp::endpoint endpoint)
{
    const auto executor = co_await asio::this_coro::executor;
    const int fd = socket.get();
    const int status = ::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size()));
    int error = status == 0 ? 0 : errno;
    Stream stream = make_socket_stream(executor, std::move(socket));
    if (error == EINPROGRESS) {
        auto ready = co_await stream.wait(Readiness::writable);
        if (!ready)
            co_return tl::unexpected<Error>(ready.error());
        socklen_t size = sizeof error;
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == ECONNREFUSED)
        co_return fail(Errc::not_ready, "connecting to " + ClientInfo::format(endpoint));
    if (error != 0)
        co_return fail(std::error_code(error, std::system_category()), "connecting to " + ClientInfo::format(endpoint));

    // A port of ours in the ephemeral range can be connected to itself while nobody listens there.
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
    if (size == endpoint.size() && std::memcmp(&local, endpoint.data(), size) == 0) {
        stream.abort();
        co_return fail(Errc::not_ready, "connecting to " + ClientInfo::format(endpoint));
    }
    co_return stream;
}

/// Connects to `port` on 127.0.0.1, or else on ::1.
inline asio::awaitable<Result<Stream>> connect_loopback(std::uint16_t port)
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
