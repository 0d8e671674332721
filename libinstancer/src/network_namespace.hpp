// SPDX-License-Identifier: MIT
// The network namespaces of containers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <asio/awaitable.hpp>
#include <asio/ip/address.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// The network namespace of the calling thread.
UniqueFd own_network_namespace();

/// Whether this process may enter network namespaces.
bool may_enter_namespaces();

/// Connects to the loopback of network namespaces, by a thread that enters them.
///
/// Threads: any executor.
class NamespaceConnector {
public:
    /// Opens a TCP socket of that family which belongs to the namespace. It may block for a moment.
    using SocketSource = std::function<Result<UniqueFd>(int family)>;

    /// Connects to `port` on 127.0.0.1 of the namespace, or else on ::1.
    ///
    /// Errors: Errc::not_ready when nobody listens there, or nobody answers; what the system reports.
    asio::awaitable<Result<Stream>> connect(std::shared_ptr<const UniqueFd> network, std::uint16_t port);

    /// The same with sockets from elsewhere, for a namespace that this process may not enter. One is opened at a time.
    asio::awaitable<Result<Stream>> connect(SocketSource sockets, std::uint16_t port);

    /// Waits for what goes on.
    void close() { thread_.join(); }

private:
    asio::awaitable<Result<Stream>> connect_to(const SocketSource& sockets, asio::ip::address target,
                                               std::uint16_t port);

    HelperThreads thread_{1};
};

}  // namespace instancer::detail
