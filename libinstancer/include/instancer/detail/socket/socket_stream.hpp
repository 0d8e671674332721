// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <asio/error.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/async/compact_executor.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/keepalive.hpp>
#include <instancer/detail/socket/peer_watch.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

/// In Asio's category, so that it equals what Asio itself reports and the names in `asio::error`.
inline std::error_code system_error(int number) noexcept { return {number, asio::error::get_system_category()}; }
inline std::error_code last_error() noexcept { return system_error(errno); }

INSTANCER_DECL bool is_socket_in_family(int fd, std::initializer_list<int> families) noexcept;

/// Whether the connection was reset, without taking that from whoever reads next.
inline bool is_reset(int fd) noexcept
{
    pollfd state{fd, 0, 0};
    return ::poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

/// What every TCP connection of ours has: no delay, and keepalive so that a peer that vanished without a word is
/// noticed after a quarter of an hour. A machine that only slept for a while keeps its connection.
inline void set_tcp_options(int fd) noexcept
{
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    set_keepalive(fd, 600, 60, 5);
}

/// Keeps the last close of a connection from waiting for its peer, which a program that shares it may have asked for.
INSTANCER_DECL void forbid_waiting_close(int fd) noexcept;

/// A Stream over one connected socket. Each call says itself that it must not block: a program that the socket was
/// handed to shares what is set for all. Asio knows of it only from the first wait on, because a bridge watches its
/// sockets by itself.
class SocketStream : public Stream::Impl {
public:
    SocketStream(const asio::any_io_executor& executor, UniqueFd fd, std::shared_ptr<const std::string> peer = nullptr);

    /// What is known of a socket without asking the system. Of those made by us, none blocks, and all TCP ones have
    /// their options.
    enum class Made { by_others, by_us_tcp, by_us_unix };

    SocketStream(const asio::any_io_executor& executor, UniqueFd fd, Made made, std::shared_ptr<const std::string> peer)
        : peer_(std::move(peer)), executor_(executor), fd_(std::move(fd)), tcp_(made == Made::by_us_tcp)
    {
    }
    ~SocketStream() override { unwatch(); }

    asio::any_io_executor get_executor() override { return executor_.get(); }

    Result<std::size_t> try_read(std::span<std::byte> buffer) override
    {
        return counted([&] { return ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT); });
    }

    Result<std::size_t> try_write(std::span<const std::byte> data) override
    {
        return counted([&] { return ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT); });
    }

    asio::awaitable<Result<void>> wait(Readiness what) override;

    Result<void> shutdown_send() override
    {
        if (::shutdown(fd_.get(), SHUT_WR) != 0)
            return fail(last_error());
        finished_ = true;
        return {};
    }

    void abort() noexcept override;

    void close() noexcept override
    {
        unwatch();
        fd_.reset();
    }

    Result<void> watch() override;

    void unwatch() noexcept override
    {
        // What waits completes as cancelled; until it has, its cancellation slot refers to the object.
        if (is_watched())
            static_cast<void>(watched_->release());
        if (const auto peer = peer_watch_.lock())
            peer->end();
    }

    Result<void> rebind(const asio::any_io_executor& executor) override
    {
        unwatch();
        watched_.reset();
        executor_ = CompactExecutor(executor);
        return {};
    }

    int native_handle() const noexcept override { return fd_.get(); }

    bool is_tcp() const noexcept override { return tcp_; }
    std::string_view peer_name() const noexcept override { return peer_ ? *peer_ : std::string_view(); }

    std::size_t unsent() const noexcept override;

    UniqueFd release() noexcept override
    {
        unwatch();
        return std::move(fd_);
    }

protected:
    template <class Call>
    static Result<std::size_t> counted(Call call)
    {
        for (;;) {
            const auto count = call();
            if (count >= 0)
                return static_cast<std::size_t>(count);
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                return fail(std::error_code(asio::error::would_block));
            return fail(last_error());
        }
    }

private:
    using Descriptor = asio::posix::stream_descriptor;

    bool is_watched() const noexcept { return watched_ && watched_->is_open(); }

    /// The stream may be gone when its wait completes.
    asio::awaitable<Result<void>> wait_gone();

    std::shared_ptr<const std::string> peer_;  ///< May be null.
    CompactExecutor executor_;
    std::unique_ptr<Descriptor> watched_;  ///< From the first wait on.
    std::weak_ptr<PeerWatch> peer_watch_;  ///< While somebody waits until the peer is gone.
    UniqueFd fd_;
    bool tcp_;
    bool finished_ = false;  ///< Our direction.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/socket_stream.hpp>
#endif
