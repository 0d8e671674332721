// SPDX-License-Identifier: MIT
#include "network_namespace.hpp"

#include <chrono>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <instancer/detail/socket/connect.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail {

namespace {

constexpr std::chrono::seconds connect_limit{3};  // A guess, as that of containers that have an address.

/// A TCP socket that belongs to the namespace.
Result<UniqueFd> socket_inside(const UniqueFd& network, int family)
{
    static thread_local const UniqueFd home = own_network_namespace();
    if (::setns(network.get(), CLONE_NEWNET) != 0)
        return fail(last_error(), "setns");
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto error = last_error();
    ::setns(home.get(), CLONE_NEWNET);
    if (!fd)
        return fail(error, "socket");
    return fd;
}

}  // namespace

UniqueFd own_network_namespace() { return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

bool may_enter_namespaces()
{
    const auto own = own_network_namespace();
    return own && ::setns(own.get(), CLONE_NEWNET) == 0;
}

asio::awaitable<Result<Stream>> NamespaceConnector::connect(std::shared_ptr<const UniqueFd> network, std::uint16_t port)
{
    return connect([network = std::move(network)](int family) { return socket_inside(*network, family); }, port);
}

asio::awaitable<Result<Stream>> NamespaceConnector::connect(SocketSource sockets, std::uint16_t port)
{
    auto stream = co_await connect_to(sockets, asio::ip::address_v4::loopback(), port);
    if (!stream && stream.error() == Errc::not_ready) {
        auto other = co_await connect_to(sockets, asio::ip::address_v6::loopback(), port);
        if (other)
            co_return other;
    }
    co_return stream;
}

asio::awaitable<Result<Stream>> NamespaceConnector::connect_to(const SocketSource& sockets, asio::ip::address target,
                                                               std::uint16_t port)
{
    const int family = target.is_v4() ? AF_INET : AF_INET6;
    auto work = [sockets, family] { return sockets(family); };
    auto socket = co_await thread_.run(std::move(work));
    if (!socket)
        co_return fail(std::move(socket.error()));
    const asio::ip::tcp::endpoint endpoint(target, port);
    co_return co_await detail::connect(std::move(*socket), endpoint, connect_limit);
}

}  // namespace instancer::detail
