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
inline Stream make_socket_stream(const asio::any_io_executor& executor, detail::UniqueFd socket)
{
    return Stream(std::make_unique<detail::SocketStream>(executor, std::move(socket)));
}

}  // namespace instancer
