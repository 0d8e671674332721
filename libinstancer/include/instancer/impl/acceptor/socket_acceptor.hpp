// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <system_error>

#include <asio/this_coro.hpp>
#include <fcntl.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/passed_descriptors.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<UniqueFd> bind_and_listen(UniqueFd socket, const sockaddr* address, socklen_t size,
                                                const std::string& text)
{
    if (!socket || ::bind(socket.get(), address, size) != 0 || ::listen(socket.get(), listen_backlog) != 0)
        return fail(last_error(), "listening on " + text);
    return socket;
}

INSTANCER_DECL Result<UniqueFd> listening_unix_socket(const std::string& path, const UnixPermissions& permissions)
{
    const auto text = "listening on unix:" + path;
    if (path.empty() || !UnixAddress::fits(path))
        return fail(system_error(ENAMETOOLONG), text);
    const UnixAddress address(path);
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    take_descriptors(socket.get(), false);
    if (is_abstract(path))
        return bind_and_listen(std::move(socket), address.data(), address.size(), "unix:" + path);
    if (const UnixSocketFile left(path); left.is_abandoned())
        left.remove();
    if (!socket)
        return fail(last_error(), text);
    if (const int error = bind_unix(socket.get(), address, permissions); error != 0)
        return fail(system_error(error), text);
    // A directory with the set-group-id bit decides the group of its files.
    if (const UnixSocketFile made(path); !made.belongs_to(permissions)) {
        made.remove();
        return fail(system_error(EPERM), text);
    }
    if (::listen(socket.get(), listen_backlog) != 0)
        return fail(last_error(), text);
    return socket;
}

}  // namespace instancer::detail

namespace instancer {

INSTANCER_DECL SocketAcceptor::SocketAcceptor(const asio::any_io_executor& executor, UniqueFd socket, bool ours,
                                              const UnixPermissions& permissions)
    : descriptor_(executor, socket.get()),
      resumed_(executor, asio::steady_timer::time_point::max()),
      is_ours_(ours),
      permissions_(permissions)
{
    socket.release();
    descriptor_.native_non_blocking(true);
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    ::getsockname(descriptor_.native_handle(), reinterpret_cast<sockaddr*>(&name), &size);
    is_unix_ = name.ss_family == AF_UNIX;
    if (is_unix_) {
        detail::take_descriptors(descriptor_.native_handle(), false);
        path_ = detail::UnixAddress::path_of(name, size);
        address_ = "unix:" + path_;
        if (is_ours_ && !detail::is_abstract(path_))
            file_ = std::make_shared<detail::UnixSocketFile>(path_);
    } else {
        local_ = endpoint(name, size);
        address_ = ClientInfo::format(local_);
        // What is accepted inherits them.
        detail::set_tcp_options(descriptor_.native_handle());
    }
}

INSTANCER_DECL asio::ip::tcp::endpoint SocketAcceptor::endpoint(const sockaddr_storage& name, socklen_t size)
{
    asio::ip::tcp::endpoint result;
    std::memcpy(result.data(), &name, std::min<std::size_t>(size, result.capacity()));
    result.resize(size);
    return result;
}

INSTANCER_DECL asio::awaitable<Result<Accepted>> SocketAcceptor::do_accept(asio::any_io_executor session_executor)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    for (;;) {
        if (closed_ || is_cancelled(cancellation))
            co_return fail(std::error_code(asio::error::operation_aborted));
        if (paused_) {
            co_await resumed_.async_wait(as_result);
            continue;
        }
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        // Whoever shares the socket may have had it block again.
        if (!is_ours_)
            descriptor_.native_non_blocking(true);
        UniqueFd client(::accept4(descriptor_.native_handle(), reinterpret_cast<sockaddr*>(&peer), &size,
                                  SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (client) {
            auto info = describe(client.get(), peer, size);
            using Socket = detail::SocketStream;
            const auto made = is_unix_ ? Socket::Made::by_us_unix : Socket::Made::by_us_tcp;
            Stream stream(std::make_unique<Socket>(session_executor, std::move(client), made, nullptr));
            co_return Accepted(std::move(stream), std::move(info));
        }
        // A client that left while it waited to be accepted is nobody's error.
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno != EAGAIN)
            co_return fail(last_error(), "accepting on " + address_);
        const auto [error] = co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, as_result);
        // A pause ends the wait too.
        if (error && error != asio::error::operation_aborted)
            co_return fail(error);
    }
}

INSTANCER_DECL ClientInfo SocketAcceptor::describe(int client, const sockaddr_storage& peer, socklen_t size) const
{
    if (is_unix_) {
        ucred credentials{};
        socklen_t length = sizeof credentials;
        ::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
        return ClientInfo(credentials.uid, path_);
    }
    if (!local_.address().is_unspecified())
        return ClientInfo(endpoint(peer, size), local_);
    sockaddr_storage local{};
    socklen_t local_size = sizeof local;
    ::getsockname(client, reinterpret_cast<sockaddr*>(&local), &local_size);
    return ClientInfo(endpoint(peer, size), endpoint(local, local_size));
}

INSTANCER_DECL Result<void> SocketAcceptor::do_pause()
{
    if (paused_ || closed_)
        return {};
    // A service manager holds it too, and hands it to whoever comes after us.
    if (!is_ours_)
        return fail(Errc::not_supported, address_ + " is not ours to close");
    // A TCP socket leaves the listening state so and keeps its address: to listen again it does not need the right
    // to take the port.
    asio::error_code error;
    if (is_unix_)
        descriptor_.close(error);
    else if (::shutdown(descriptor_.native_handle(), SHUT_RD) != 0)
        return fail(last_error(), "closing " + address_ + " for a while");
    else
        descriptor_.cancel(error);
    paused_ = true;
    keep_port();
    return {};
}

INSTANCER_DECL Result<void> SocketAcceptor::do_resume()
{
    if (!paused_ || closed_)
        return {};
    if (is_unix_) {
        auto socket = detail::listening_unix_socket(path_, permissions_);
        if (!socket)
            return fail(std::move(socket.error()));
        asio::error_code error;
        descriptor_.assign(socket->get(), error);
        if (error)
            return fail(error, "listening on " + address_ + " again");
        socket->release();
        if (file_)
            file_ = std::make_shared<detail::UnixSocketFile>(path_);
    } else if (!keep_port() || ::listen(descriptor_.native_handle(), detail::listen_backlog) != 0) {
        return fail(last_error(), "listening on " + address_ + " again");
    }
    paused_ = false;
    resumed_.cancel();
    return {};
}

INSTANCER_DECL Result<std::unique_ptr<Acceptor>> SocketAcceptor::do_share()
{
    if (closed_)
        return fail(std::error_code(asio::error::operation_aborted), "sharing " + address_);
    if (auto resumed = do_resume(); !resumed)
        return fail(std::move(resumed.error()));
    UniqueFd copy(::fcntl(descriptor_.native_handle(), F_DUPFD_CLOEXEC, 0));
    if (!copy)
        return fail(last_error(), "sharing " + address_);
    auto other = std::make_unique<SocketAcceptor>(descriptor_.get_executor(), std::move(copy), is_ours_, permissions_);
    other->file_ = file_;
    return other;
}

INSTANCER_DECL void SocketAcceptor::do_close()
{
    if (std::exchange(closed_, true))
        return;
    asio::error_code ignored;
    descriptor_.close(ignored);
    resumed_.cancel();
    if (file_.use_count() == 1)
        file_->remove();
    file_.reset();
}

INSTANCER_DECL Result<std::unique_ptr<Acceptor>> listen_tcp(const asio::any_io_executor& executor,
                                                            const asio::ip::tcp::endpoint& endpoint, bool dual_stack)
{
    const auto text = ClientInfo::format(endpoint);
    UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return fail(last_error(), "listening on " + text);
    // Only lets a port be taken again while old connections of it fade away; a second listener still fails.
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (endpoint.protocol() == asio::ip::tcp::v6()) {
        const int only = dual_stack ? 0 : 1;
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    auto listening =
        detail::bind_and_listen(std::move(socket), endpoint.data(), static_cast<socklen_t>(endpoint.size()), text);
    if (!listening)
        return fail(std::move(listening.error()));
    return std::make_unique<SocketAcceptor>(executor, std::move(*listening), true);
}

INSTANCER_DECL Result<std::unique_ptr<Acceptor>>
listen_unix(const asio::any_io_executor& executor, const std::string& path, const UnixPermissions& permissions)
{
    auto listening = detail::listening_unix_socket(path, permissions);
    if (!listening)
        return fail(std::move(listening.error()));
    return std::make_unique<SocketAcceptor>(executor, std::move(*listening), true, permissions);
}

INSTANCER_DECL Result<std::unique_ptr<Acceptor>> adopt_listener(const asio::any_io_executor& executor, UniqueFd socket)
{
    int listening = 0, type = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
        return fail(last_error(), "taking over a listening socket");
    size = sizeof type;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    if (!listening || type != SOCK_STREAM)
        return fail(system_error(EINVAL), "taking over a listening stream socket");
    return std::make_unique<SocketAcceptor>(executor, std::move(socket), false);
}

}  // namespace instancer
