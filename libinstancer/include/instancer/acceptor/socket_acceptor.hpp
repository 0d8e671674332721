// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/unix_permissions.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/detail/socket/unix_socket_file.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

namespace detail {

/// Clients that the system queues before they are accepted: its own maximum, `net.core.somaxconn`.
inline constexpr int listen_backlog = 4096;

INSTANCER_DECL Result<UniqueFd> bind_and_listen(UniqueFd socket, const sockaddr* address, socklen_t size,
                                                const std::string& text);

/// See `listen_unix`.
INSTANCER_DECL Result<UniqueFd> listening_unix_socket(const std::string& path, const UnixPermissions& permissions);

}  // namespace detail

/// Accepts on one listening stream socket, TCP or Unix.
///
/// Made by `listen_tcp`, `listen_unix` and `adopt_listener`.
class SocketAcceptor final : public Acceptor {
public:
    /// `socket` listens already. One that is not `ours` belongs to others too: it is never paused, and the file of a
    /// Unix socket stays. `permissions`: of the file of a Unix socket that listens again after a pause.
    SocketAcceptor(const asio::any_io_executor& executor, UniqueFd socket, bool ours,
                   const UnixPermissions& permissions = {});

    ~SocketAcceptor() override { do_close(); }

private:
    static asio::ip::tcp::endpoint endpoint(const sockaddr_storage& name, socklen_t size);

    asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) override;

    ClientInfo describe(int client, const sockaddr_storage& peer, socklen_t size) const;

    Result<void> do_pause() override;

    /// A port that the system chose is lost with the listening state, unless it is asked for again. False when somebody
    /// else has it now.
    bool keep_port()
    {
        // EINVAL: the socket has its port still.
        return is_unix_ ||
               ::bind(descriptor_.native_handle(), local_.data(), static_cast<socklen_t>(local_.size())) == 0 ||
               errno == EINVAL;
    }

    Result<void> do_resume() override;

    Result<std::unique_ptr<Acceptor>> do_share() override;

    void do_close() override;

    std::string do_address() const override { return address_; }

    asio::posix::stream_descriptor descriptor_;
    asio::steady_timer resumed_;
    std::string path_;
    std::string address_;
    std::shared_ptr<detail::UnixSocketFile> file_;  ///< Of a Unix socket that is ours and has one.
    asio::ip::tcp::endpoint local_;
    const bool is_ours_;
    bool is_unix_ = false;
    const UnixPermissions permissions_;
    bool paused_ = false;
    bool closed_ = false;
};

/// Listens on `endpoint`. With `dual_stack` an IPv6 endpoint takes IPv4 clients too.
///
/// Errors: what the system reports: an address in use, no permission for the port.
INSTANCER_DECL Result<std::unique_ptr<Acceptor>>
listen_tcp(const asio::any_io_executor& executor, const asio::ip::tcp::endpoint& endpoint, bool dual_stack = false);

/// Listens on a Unix socket at `path` with these permissions. A socket file that nobody listens on any more is
/// replaced; the file is removed on close. `@name` is an abstract socket: it has no file, and the permissions bind
/// nobody.
///
/// Errors: what the system reports; EADDRINUSE when somebody listens there or the path is another kind of file; EPERM
/// when this process may not give files to that owner or group.
INSTANCER_DECL Result<std::unique_ptr<Acceptor>>
listen_unix(const asio::any_io_executor& executor, const std::string& path, const UnixPermissions& permissions = {});

/// Takes over a socket that listens already, as a service manager passes it. It cannot be paused.
///
/// Errors: EINVAL when `socket` is not a listening stream socket.
INSTANCER_DECL Result<std::unique_ptr<Acceptor>> adopt_listener(const asio::any_io_executor& executor, UniqueFd socket);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/acceptor/socket_acceptor.hpp>
#endif
