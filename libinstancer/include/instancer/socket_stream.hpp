// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/basic_stream_socket.hpp>
#include <sys/socket.h>

#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Makes a Stream of a connected stream socket (TCP, Unix) and sets what every connection of ours has: not blocking,
/// no delay, keepalive.
///
/// `peer` is the stream's `peer_name`, if it has one.
/// Lifetime: `peer` is let go when the stream is destroyed, so what owns it learns of that.
inline Stream make_socket_stream(const asio::any_io_executor& executor, UniqueFd socket,
                                 std::shared_ptr<const std::string> peer = nullptr)
{
    return Stream(std::make_unique<detail::SocketStream>(executor, std::move(socket), std::move(peer)));
}

/// The same of a connected Asio socket, on the executor that the socket has. No operation on it may be outstanding.
template <class Protocol, class Executor>
Stream make_socket_stream(asio::basic_stream_socket<Protocol, Executor> socket,
                          std::shared_ptr<const std::string> peer = nullptr)
{
    const asio::any_io_executor executor = socket.get_executor();
    return make_socket_stream(executor, UniqueFd(socket.release()), std::move(peer));
}

/// Makes two Streams that are connected to each other, for an instance that lives in this process.
///
/// Errors: what the system reports, as when no descriptor is left.
inline Result<std::pair<Stream, Stream>> make_stream_pair(const asio::any_io_executor& executor)
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(last_error(), "making a pair of sockets");
    UniqueFd first(ends[0]), second(ends[1]);
    return std::pair(make_socket_stream(executor, std::move(first)), make_socket_stream(executor, std::move(second)));
}

}  // namespace instancer
