// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <asio/ip/address_v4.hpp>
#include <asio/ip/address_v6.hpp>
#include <asio/ip/tcp.hpp>

#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/socket_stream.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// How long a listener may leave a connection without an answer, as it does when its backlog is full. Calculated: the
/// system asks again after 1 s and 3 s.
inline constexpr std::chrono::seconds answer_limit{5};

/// What `connect` says, as an error number; 0 when the connection is there.
inline int try_connect(int fd, const asio::ip::tcp::endpoint& endpoint) noexcept
{
    const int status = ::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size()));
    return status == 0 || errno == EISCONN ? 0 : errno;
}

/// The same for a new socket that does not block: EALREADY when it takes a while.
inline int begin_connect(int fd, const asio::ip::tcp::endpoint& endpoint) noexcept
{
    // Asking again tells what has become of it; on this host that is known at once.
    const int error = try_connect(fd, endpoint);
    return error == EINPROGRESS ? try_connect(fd, endpoint) : error;
}

/// A port of ours in the ephemeral range can be connected to itself while nobody listens there.
INSTANCER_DECL bool is_connected_to_itself(int fd, const asio::ip::tcp::endpoint& endpoint) noexcept;

/// Why there is no connection to `endpoint`: Errc::not_ready when nobody listens there.
INSTANCER_DECL Error connect_error(const asio::ip::tcp::endpoint& endpoint, int number);

inline Error connect_took_too_long(const asio::ip::tcp::endpoint& endpoint)
{
    return Error(Errc::not_ready, "connecting to " + ClientInfo::format(endpoint) + " takes too long");
}

/// Whether descriptors or memory are lacking here, which says nothing about the other end.
inline bool is_want_of_ours(const Error& error)
{
    return std::ranges::any_of(std::array{EMFILE, ENFILE, ENOBUFS, ENOMEM},
                               [&error](int number) { return error == system_error(number); });
}

/// Finishes `socket`'s connection to `endpoint`, on the calling coroutine's executor. The socket does not block.
///
/// Time: at most `limit`.
/// Errors: Errc::not_ready when nobody listens there, or nobody answers; what the system reports.
INSTANCER_DECL asio::awaitable<Result<Stream>> connect(UniqueFd socket, asio::ip::tcp::endpoint endpoint,
                                                       std::chrono::milliseconds limit = answer_limit,
                                                       std::shared_ptr<const std::string> peer = nullptr);

/// Connects to `port` on 127.0.0.1, or else on ::1.
INSTANCER_DECL asio::awaitable<Result<Stream>> connect_loopback(std::uint16_t port);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/connect.hpp>
#endif
