// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/this_coro.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/acceptor.hpp>
#include <instancer/detail/socket_stream.hpp>

namespace instancer {

/// Accepts on one listening stream socket, TCP or Unix.
///
/// Made by `listen_tcp`, `listen_unix` and `adopt_listener`.
class SocketAcceptor final : public Acceptor {
public:
    /// `socket` listens already. `owned_path` is the Unix socket's file, to be removed on close; empty for none.
    SocketAcceptor(const asio::any_io_executor& executor, detail::UniqueFd socket, std::string owned_path)
        : descriptor_(executor, socket.get()), owned_path_(std::move(owned_path))
    {
        socket.release();
        descriptor_.native_non_blocking(true);
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        ::getsockname(descriptor_.native_handle(), reinterpret_cast<sockaddr*>(&name), &size);
        is_unix_ = name.ss_family == AF_UNIX;
        if (is_unix_) {
            path_ = reinterpret_cast<sockaddr_un&>(name).sun_path;
            address_ = "unix:" + path_;
        } else {
            local_ = endpoint(name, size);
            address_ = ClientInfo::format(local_);
            // What is accepted inherits them.
            detail::set_tcp_options(descriptor_.native_handle());
        }
    }

    ~SocketAcceptor() override { do_close(); }

private:
    static asio::ip::tcp::endpoint endpoint(const sockaddr_storage& name, socklen_t size)
    {
        asio::ip::tcp::endpoint result;
        std::memcpy(result.data(), &name, std::min<std::size_t>(size, result.capacity()));
        result.resize(size);
        return result;
    }

    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) override
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        for (;;) {
            if (!descriptor_.is_open() || detail::is_cancelled(cancellation))
                co_return fail(std::error_code(asio::error::operation_aborted));
            sockaddr_storage peer{};
            socklen_t size = sizeof peer;
            detail::UniqueFd client(::accept4(descriptor_.native_handle(), reinterpret_cast<sockaddr*>(&peer), &size,
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
                co_return fail(detail::last_error(), "accepting on " + address_);
            const auto [error] =
                co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, detail::as_result);
            if (error)
                co_return fail(error);
        }
    }

    ClientInfo describe(int client, const sockaddr_storage& peer, socklen_t size) const
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

    void do_close() override
    {
        asio::error_code ignored;
        descriptor_.close(ignored);
        if (!owned_path_.empty())
            ::unlink(std::exchange(owned_path_, {}).c_str());
    }

    std::string do_address() const override { return address_; }

    asio::posix::stream_descriptor descriptor_;
    std::string owned_path_;
    std::string path_;
    asio::ip::tcp::endpoint local_;
    std::string address_;
    bool is_unix_ = false;
};

namespace detail {

inline constexpr int listen_backlog = 4096;

inline Result<std::unique_ptr<Acceptor>> start_listening(const asio::any_io_executor& executor, UniqueFd socket,
                                                         const sockaddr* address, socklen_t size, std::string text,
                                                         std::string owned_path)
{
    if (::bind(socket.get(), address, size) != 0)
        return fail(last_error(), "listening on " + text);
    if (::listen(socket.get(), listen_backlog) != 0) {
        const auto error = last_error();
        if (!owned_path.empty())
            ::unlink(owned_path.c_str());
        return fail(error, "listening on " + text);
    }
    return std::make_unique<SocketAcceptor>(executor, std::move(socket), std::move(owned_path));
}

}  // namespace detail

/// Listens on `endpoint`. With `dual_stack` an IPv6 endpoint takes IPv4 clients too.
///
/// Errors: what the system reports: an address in use, no permission for the port.
inline Result<std::unique_ptr<Acceptor>> listen_tcp(const asio::any_io_executor& executor,
                                                    const asio::ip::tcp::endpoint& endpoint, bool dual_stack = false)
{
    const auto text = ClientInfo::format(endpoint);
    detail::UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return fail(detail::last_error(), "listening on " + text);
    // Only lets a port be taken again while old connections of it fade away; a second listener still fails.
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (endpoint.protocol() == asio::ip::tcp::v6()) {
        const int only = dual_stack ? 0 : 1;
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    return detail::start_listening(executor, std::move(socket), endpoint.data(),
                                   static_cast<socklen_t>(endpoint.size()), text, {});
}

/// Listens on a Unix socket at `path` with the permissions `mode`. A socket file that nobody listens on any more is
/// replaced; the file is removed on close.
///
/// Errors: what the system reports; EADDRINUSE when somebody listens there or the path is another kind of file.
inline Result<std::unique_ptr<Acceptor>> listen_unix(const asio::any_io_executor& executor, const std::string& path,
                                                     mode_t mode = 0666)
{
    const auto text = "unix:" + path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(detail::system_error(ENAMETOOLONG), "listening on " + text);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const auto* name = reinterpret_cast<const sockaddr*>(&address);

    detail::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return fail(detail::last_error(), "listening on " + text);
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) {
        const detail::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (::connect(probe.get(), name, sizeof address) != 0 && errno == ECONNREFUSED)
            ::unlink(path.c_str());
    }
    auto acceptor = detail::start_listening(executor, std::move(socket), name, sizeof address, text, path);
    if (acceptor && ::chmod(path.c_str(), mode) != 0)
        return fail(detail::last_error(), "setting permissions of " + text);
    return acceptor;
}

/// Takes over a socket that listens already, as a service manager passes it.
///
/// Errors: EINVAL when `socket` is not a listening stream socket.
inline Result<std::unique_ptr<Acceptor>> adopt_listener(const asio::any_io_executor& executor, detail::UniqueFd socket)
{
    int listening = 0, type = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
        return fail(detail::last_error(), "taking over a listening socket");
    size = sizeof type;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    if (!listening || type != SOCK_STREAM)
        return fail(detail::system_error(EINVAL), "taking over a listening stream socket");
    return std::make_unique<SocketAcceptor>(executor, std::move(socket), std::string());
}

}  // namespace instancer
