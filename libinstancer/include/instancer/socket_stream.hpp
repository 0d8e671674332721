// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>

#include <instancer/detail/socket_stream.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Makes a Stream of a connected stream socket (TCP, Unix) and sets what every connection of ours has: not blocking,
/// no delay, keepalive.
///
/// An Asio socket gives its descriptor away with `release()`.
///
/// Lifetime: `companion` is let go when the stream is destroyed.
inline Stream make_socket_stream(const asio::any_io_executor& executor, detail::UniqueFd socket,
                                 std::shared_ptr<void> companion = nullptr)
{
    return Stream(std::make_unique<detail::SocketStream>(executor, std::move(socket), std::move(companion)));
}

}  // namespace instancer
