// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/backend/balancer.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/connect_race.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>
#include <instancer/result.hpp>
#include <instancer/socket_stream.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

INSTANCER_DECL asio::awaitable<Result<Stream>> connect_unix(std::string path, std::shared_ptr<const std::string> peer);

/// Connects to `member`. `client`, which may be null, is given up when it has gone; `peer` is the stream's `peer_name`.
INSTANCER_DECL asio::awaitable<Result<Stream>> connect_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member,
                                                                std::chrono::milliseconds limit,
                                                                std::shared_ptr<const std::string> peer,
                                                                Stream* client = nullptr);

/// The stream to an upstream, once that has been told who its client is.
INSTANCER_DECL asio::awaitable<Result<Stream>> introduced(UpstreamGroupPtr group, Stream stream, ClientInfo client);

/// Reads until `expected` has come.
INSTANCER_DECL asio::awaitable<Result<void>> read_expected(Stream& stream, const std::string& expected);

/// Whether `member` works, however long that takes to find out.
INSTANCER_DECL asio::awaitable<Result<void>> probe_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member);

/// Whether `member` works, by a connection of its own.
///
/// Time: that of a check.
INSTANCER_DECL asio::awaitable<Result<void>> check_upstream(UpstreamGroupPtr group, Balancer::MemberPtr member);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/upstream/upstream_connect.hpp>
#endif
