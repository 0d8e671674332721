// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <instancer/bridge.hpp>
#include <instancer/detail/async_event.hpp>
#include <instancer/detail/poller.hpp>
#include <instancer/detail/socket_stream.hpp>

namespace instancer::detail {

/// What bridges read into: one buffer for each thread.
inline std::span<std::byte> bridge_buffer() noexcept
{
    static thread_local std::array<std::byte, 256 * 1024> buffer;
    return buffer;
}

/// The data path between two sockets: reads what is there into one buffer per thread, writes it at once, and keeps
/// aside only what the other end did not take. There is no coroutine on it, and no buffer while nothing is in flight.
///
/// Threads: the executor of the link.
class SocketBridge final : private Link::Observer {
public:
    explicit SocketBridge(Link& link)
        : link_(link),
          ended_(link.client().get_executor()),
          client_(*this, link.client()),
          instance_(*this, link.instance())
    {
    }
    ~SocketBridge() { leave(); }

    /// Errors: what the system reports; nothing has happened then.
    Result<void> start()
    {
        auto poller = Poller::of(link_.client().get_executor());
        if (!poller)
            return tl::unexpected<Error>(poller.error());
        poller_ = *poller;
        for (auto* side : {&client_, &instance_}) {
            side->stream.unwatch();
            if (auto added = poller_->add(side->fd, *side); !added) {
                leave();
                return added;
            }
            side->watched = true;
        }
        link_.observe(this);
        return {};
    }

    /// Completes when both directions have ended.
    asio::awaitable<BridgeEnd> wait()
    {
        co_await ended_.wait();
        if (!ended_.is_set())
            finish(BridgeEnd::cancelled);
        co_return end_;
    }

private:
    /// How often one side may be read before the others have their turn.
    static constexpr int reads_in_turn = 4;

    /// One socket, and the direction that begins there.
    struct Side final : Poller::Entry {
        Side(SocketBridge& owner, Stream& carried)
            : bridge(owner),
              stream(carried),
              fd(carried.native_handle()),
              is_tcp(is_socket_in_family(fd, {AF_INET, AF_INET6})),
              to_the_end(!is_tcp)
        {
        }

        void on_events(std::uint32_t events) noexcept override
        {
            try {
                bridge.on_events(*this, events);
            } catch (const std::bad_alloc&) {
                bridge.finish(BridgeEnd::cancelled);
            }
        }

        SocketBridge& bridge;
        Stream& stream;
        const int fd;
        const bool is_tcp;
        bool watched = false;
        bool readable = false;
        bool writable = true;
        bool to_the_end;                ///< A short read does not mean that nothing more is there.
        bool over = false;              ///< Nothing more is read here.
        bool failed = false;            ///< The connection was reset.
        int urgent = -1;                ///< A byte of urgent data that the other side has yet to get.
        std::vector<std::byte> parked;  ///< What the other side has yet to get, from `taken` on.
        std::size_t taken = 0;
    };

    void on_events(Side& side, std::uint32_t events)
    {
        if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
            side.readable = true;
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            side.writable = true;
        if (events & ~static_cast<std::uint32_t>(EPOLLIN | EPOLLOUT))
            side.to_the_end = true;
        if (events & EPOLLERR)
            side.failed = true;
        pump(client_, instance_);
        if (!ended_.is_set())
            pump(instance_, client_);
        // What is not read any more, or not now, would not notice that its connection was reset.
        if (!ended_.is_set() && client_.failed && (client_.over || !client_.parked.empty() || client_.urgent >= 0))
            finish(BridgeEnd::client_reset);
        if (!ended_.is_set() && instance_.failed && instance_.over)
            finish(BridgeEnd::instance_reset);
    }

    void pump(Side& from, Side& to)
    {
        for (int reads = 0; !from.over; ++reads) {
            if (!flush(from, to) || !from.readable)
                return;
            if (reads == reads_in_turn)
                return poller_->again(from);
            read(from, to);
        }
    }

    void read(Side& from, Side& to)
    {
        if (from.to_the_end && from.is_tcp && to.is_tcp && take_urgent(from))
            return;
        const auto count = ::recv(from.fd, bridge_buffer().data(), bridge_buffer().size(), 0);
        if (count < 0) {
            if (errno == EAGAIN)
                from.readable = false;
            else if (errno != EINTR)
                finish(&from == &client_ ? BridgeEnd::client_reset : BridgeEnd::instance_reset);
            return;
        }
        if (count == 0)
            return end_of_stream(from, to);
        const auto data = bridge_buffer().first(static_cast<std::size_t>(count));
        if (data.size() < bridge_buffer().size() && !from.to_the_end)
            from.readable = false;
        const auto written = write(to, data);
        if (written < 0)
            return not_taken(from);
        const auto rest = data.subspan(static_cast<std::size_t>(written));
        from.parked.assign(rest.begin(), rest.end());
        passed(from, written);
    }

    void passed(const Side& from, ssize_t written) noexcept
    {
        if (written == 0)
            return;
        if (&from == &client_)
            link_.count_up(static_cast<std::uint64_t>(written));
        else
            link_.count_down(static_cast<std::uint64_t>(written));
    }

    /// At the mark of urgent data takes its byte, which a plain read would leave out.
    static bool take_urgent(Side& from)
    {
        int at_mark = 0;
        unsigned char byte = 0;
        if (::ioctl(from.fd, SIOCATMARK, &at_mark) != 0 || !at_mark || ::recv(from.fd, &byte, 1, MSG_OOB) != 1)
            return false;
        from.urgent = byte;
        return true;
    }

    /// Whether all that was read before has been written.
    bool flush(Side& from, Side& to)
    {
        if (!from.parked.empty()) {
            const auto written = write(to, std::span(from.parked).subspan(from.taken));
            if (written < 0) {
                not_taken(from);
                return false;
            }
            from.taken += static_cast<std::size_t>(written);
            passed(from, written);
            if (from.taken < from.parked.size())
                return false;
            forget_parked(from);
        }
        if (from.urgent >= 0) {
            const auto byte = static_cast<std::byte>(from.urgent);
            const auto written = write(to, std::span(&byte, 1), MSG_OOB);
            if (written < 0)
                not_taken(from);
            if (written <= 0)
                return false;
            from.urgent = -1;
        }
        return true;
    }

    /// How much was written; negative when the peer takes no more.
    static ssize_t write(Side& to, std::span<const std::byte> data, int flags = 0)
    {
        while (to.writable) {
            const auto count = ::send(to.fd, data.data(), data.size(), MSG_NOSIGNAL | flags);
            if (count >= 0)
                return count;
            if (errno != EINTR && errno != EAGAIN)
                return -1;
            to.writable = errno == EINTR;
        }
        return 0;
    }

    /// Assigning an empty one would keep the memory.
    static void forget_parked(Side& from) noexcept
    {
        std::vector<std::byte>().swap(from.parked);
        from.taken = 0;
    }

    void end_of_stream(Side& from, Side& to)
    {
        if (link_.stopped())
            return finish(BridgeEnd::cancelled);
        from.over = true;
        if (!to.stream.shutdown_send())
            return not_taken(from);
        if (&from == &instance_)
            link_.delivered();
        finish_if_over();
    }

    /// When the instance takes no more, its own answer is still delivered.
    void not_taken(Side& from)
    {
        from.over = true;
        if (&from == &instance_)
            return finish(BridgeEnd::client_reset);
        refused_ = true;
        forget_parked(client_);
        client_.urgent = -1;
        finish_if_over();
    }

    void finish_if_over()
    {
        if (!ended_.is_set() && client_.over && instance_.over)
            finish(refused_ ? BridgeEnd::instance_reset : BridgeEnd::completed);
    }

    /// The instance has ended, and what it said is delivered.
    void link_over() override { finish(BridgeEnd::completed); }

    void finish(BridgeEnd end)
    {
        if (ended_.is_set())
            return;
        end_ = end;
        client_.over = instance_.over = true;
        leave();
        if (end == BridgeEnd::completed)
            link_.client().close();
        else
            link_.client().abort();
        // Whom nobody listens to any more is let go at once: its port must not stay taken.
        if (end == BridgeEnd::completed && !link_.over())
            link_.instance().close();
        else
            link_.instance().abort();
        ended_.set();
    }

    void leave() noexcept
    {
        link_.observe(nullptr);
        for (auto* side : {&client_, &instance_})
            if (std::exchange(side->watched, false))
                poller_->remove(side->fd, *side);
    }

    Link& link_;
    Poller* poller_ = nullptr;
    AsyncEvent ended_;
    BridgeEnd end_ = BridgeEnd::cancelled;
    bool refused_ = false;  ///< The instance takes no more.
    Side client_, instance_;
};

}  // namespace instancer::detail
