// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <instancer/bridge.hpp>
#include <instancer/detail/bridge/stall_detector.hpp>
#include <instancer/detail/socket/keepalive.hpp>
#include <instancer/detail/socket/pipe_pool.hpp>
#include <instancer/detail/socket/poller.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/detail/socket/urgent_data.hpp>

namespace instancer::detail {

/// What bridges read into: one buffer for each thread.
inline std::span<std::byte> bridge_buffer() noexcept
{
    static thread_local std::array<std::byte, 256 * 1024> buffer;
    return buffer;
}

/// The data path between two sockets: reads what is there into one buffer per thread, writes it at once, and keeps
/// aside only what the other end did not take. There is no coroutine on it, and no buffer while nothing is in flight.
/// Much data in one go passes between TCP sockets through a pipe, without being copied.
///
/// Threads: the executor of the link.
class SocketBridge final : public Link::Path {
public:
    /// Errors: what the system reports; nothing has happened then.
    static Result<void> start(Link& link, BridgeObserver& observer)
    {
        auto poller = Poller::of(link.client().get_executor());
        if (!poller)
            return fail(poller.error());
        auto path = std::make_unique<SocketBridge>(link, observer, **poller);
        if (auto watched = path->watch(); !watched)
            return watched;
        link.take(std::move(path));
        return {};
    }

    /// For `start`.
    SocketBridge(Link& link, BridgeObserver& observer, Poller& poller)
        : link_(link),
          observer_(observer),
          poller_(poller),
          client_(*this, link.client()),
          instance_(*this, link.instance())
    {
    }
    ~SocketBridge() override { leave(); }

    void link_over() override
    {
        // A reset that has yet to be passed on, or noticed, stays one.
        if (!last_words_)
            end_from_outside(is_reset(instance_.fd) ? BridgeEnd::instance_reset : BridgeEnd::completed);
    }
    void cancel() override { end_from_outside(BridgeEnd::cancelled); }

private:
    /// How often one side may be read before the others have their turn.
    static constexpr int reads_in_turn = 4;

    /// What pays for a pipe: so much at once, so many times in a row.
    static constexpr std::size_t bulk_size = 64 * 1024;
    static constexpr std::uint8_t bulk_reads = 8;

    /// What one side has sent and the other has yet to get.
    struct Parked {
        explicit Parked(std::span<const std::byte> data) : bytes(data.begin(), data.end()) {}

        std::vector<std::byte> bytes;
        std::size_t taken = 0;
    };

    struct Side;

    /// What goes on when one side's connection was reset and the other one has yet to get what was sent before.
    struct ResetDrain {
        ResetDrain(const asio::any_io_executor& executor, const Side& of) : timer(executor), side(of) {}

        asio::steady_timer timer;
        const Side& side;
        StallDetector stall_detector;
    };

    /// One socket, and the direction that begins there.
    struct Side final : Poller::Entry {
        Side(SocketBridge& owner, Stream& stream)
            : bridge(owner), fd(stream.native_handle()), is_tcp(stream.is_tcp()), to_the_end(!is_tcp)
        {
        }

        void on_events(std::uint32_t events) noexcept override { bridge.on_events(*this, events); }

        SocketBridge& bridge;
        std::unique_ptr<Parked> parked;
        std::unique_ptr<Pipe> pipe;  ///< While much data passes; what it holds the other side has yet to get.
        const int fd;
        std::int16_t urgent = -1;      ///< A byte of urgent data that the other side has yet to get.
        std::uint8_t large_reads = 0;  ///< In a row.
        const bool is_tcp;
        bool readable = false;
        bool writable = true;
        bool to_the_end;            ///< A short read does not mean that nothing more is there.
        bool seen = false;          ///< What the next read begins with was reported, and is not urgent.
        bool maybe_urgent = false;  ///< Urgent data have come.
        bool complete = false;      ///< Nothing more will come.
        bool over = false;          ///< Nothing more is read here.
        bool failed = false;        ///< The connection was reset.

        bool has_parked() const noexcept { return parked || (pipe && pipe->held > 0); }
    };

    Result<void> watch()
    {
        link_.client().unwatch();
        link_.instance().unwatch();
        if (carries_urgent())
            for (const auto* side : {&client_, &instance_})
                keep_urgent_inline(side->fd);
        if (auto added = poller_.add(client_.fd, client_); !added)
            return added;
        auto added = poller_.add(instance_.fd, instance_);
        if (!added)
            poller_.undo_add(client_.fd, client_);
        return added;
    }

    /// The bridge may be gone when this returns.
    void on_events(Side& side, std::uint32_t events) noexcept
    {
        busy_ = true;
        if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
            side.readable = true;
        if (events & EPOLLIN)
            side.seen = true;
        if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            side.writable = true;
        if (events & EPOLLRDHUP && !side.complete && &side == &client_ && side.is_tcp)
            probe_peer(side.fd);
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            side.to_the_end = side.complete = true;
        if (events & EPOLLPRI)
            side.maybe_urgent = side.to_the_end = true;
        if (events & EPOLLERR)
            side.failed = true;
        try {
            pump(client_, instance_);
            if (!ended_)
                pump(instance_, client_);
            // What is not read any more, or not now, would not notice that its connection was reset.
            for (auto* one : {&client_, &instance_})
                if (one->failed && (one->over || one->has_parked() || one->urgent >= 0))
                    reset_by(*one, false);
        } catch (...) {
            finish(BridgeEnd::cancelled);  // No memory.
        }
        busy_ = false;
        if (ended_)
            observer_.bridge_ended(end_);
    }

    void end_from_outside(BridgeEnd end)
    {
        if (ended_)
            return;
        finish(end);
        if (!busy_)
            observer_.bridge_ended(end_);
    }

    void pump(Side& from, Side& to)
    {
        for (int reads = 0; !from.over; ++reads) {
            if (!flush(from, to) || !from.readable)
                return;
            if (reads == reads_in_turn)
                return poller_.again(from);
            read(from, to);
        }
    }

    void read(Side& from, Side& to)
    {
        if (from.large_reads == bulk_reads && splice(from, to))
            return;
        const auto ahead = ahead_of(from);
        if (ahead == Ahead::nothing) {
            from.readable = false;
            return;
        }
        const auto count =
            ::recv(from.fd, bridge_buffer().data(), ahead == Ahead::urgent ? 1 : bridge_buffer().size(), 0);
        if (count < 0) {
            if (errno == EAGAIN)
                from.readable = false;
            else if (errno != EINTR)
                reset_by(from, true);
            return;
        }
        if (count == 0)
            return end_of_stream(from, to);
        const auto data = bridge_buffer().first(static_cast<std::size_t>(count));
        if (ahead == Ahead::urgent) {
            from.urgent = std::to_integer<std::int16_t>(data.front());
            return;
        }
        if (data.size() < bulk_size)
            from.large_reads = 0;
        else if (from.large_reads < bulk_reads)
            ++from.large_reads;
        if (data.size() < bridge_buffer().size() && !from.to_the_end)
            from.readable = false;
        const auto written = write(to, data);
        if (written < 0)
            return not_taken(from);
        if (const auto rest = data.subspan(static_cast<std::size_t>(written)); !rest.empty())
            from.parked = std::make_unique<Parked>(rest);
        passed(from, written);
    }

    /// Moves what is there through a pipe. False when nothing has happened, and a plain read is what tells more.
    bool splice(Side& from, Side& to)
    {
        // Urgent data stop a splice for ever, and what comes with the end must be read to the end.
        if (!from.is_tcp || !to.is_tcp || from.to_the_end)
            return drop_pipe(from);
        if (!from.pipe)
            from.pipe = PipePool::of_thread().take();
        if (!from.pipe)
            return drop_pipe(from);
        const auto count = ::splice(from.fd, nullptr, from.pipe->in.get(), nullptr, from.pipe->capacity,
                                    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (count > 0) {
            from.pipe->held = static_cast<std::size_t>(count);
            if (from.pipe->held < bulk_size)
                from.large_reads = 0;
            flush(from, to);
            return true;
        }
        if (count < 0 && errno == EAGAIN) {
            from.readable = false;
            PipePool::of_thread().give_back(std::move(from.pipe));
            return true;
        }
        if (count < 0 && errno != EINTR && errno != EINVAL) {
            reset_by(from, true);
            return true;
        }
        return drop_pipe(from);
    }

    bool drop_pipe(Side& from) noexcept
    {
        from.large_reads = 0;
        PipePool::of_thread().give_back(std::move(from.pipe));
        return false;
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

    bool carries_urgent() const noexcept { return client_.is_tcp && instance_.is_tcp; }

    /// What a read would begin with. The first one after a report needs no look of its own.
    Ahead ahead_of(Side& from) const noexcept
    {
        const bool seen = std::exchange(from.seen, false) || from.complete;
        return carries_urgent() && (from.maybe_urgent || !seen) ? look_ahead(from.fd) : Ahead::plain;
    }

    /// Whether all that was read before has been written.
    bool flush(Side& from, Side& to)
    {
        if (from.pipe && from.pipe->held > 0) {
            const auto written = write_through(*from.pipe, to);
            if (written < 0) {
                not_taken(from);
                return false;
            }
            from.pipe->held -= static_cast<std::size_t>(written);
            passed(from, written);
            if (from.pipe->held > 0)
                return false;
            if (from.large_reads == 0)
                drop_pipe(from);
        }
        if (from.parked) {
            const auto written = write(to, std::span(from.parked->bytes).subspan(from.parked->taken));
            if (written < 0) {
                not_taken(from);
                return false;
            }
            from.parked->taken += static_cast<std::size_t>(written);
            passed(from, written);
            if (from.parked->taken < from.parked->bytes.size())
                return false;
            from.parked.reset();
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

    static ssize_t write(Side& to, std::span<const std::byte> data, int flags = 0)
    {
        return written(to, [&] { return ::send(to.fd, data.data(), data.size(), MSG_NOSIGNAL | flags); });
    }

    static ssize_t write_through(Pipe& pipe, Side& to)
    {
        return written(to, [&] {
            return ::splice(pipe.out.get(), nullptr, to.fd, nullptr, pipe.held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        });
    }

    /// How much was written; negative when the peer takes no more.
    template <class Call>
    static ssize_t written(Side& to, Call call)
    {
        while (to.writable) {
            const auto count = call();
            if (count >= 0)
                return count;
            if (errno != EINTR && errno != EAGAIN) {
                // The system says it only once; reading meets an end of the stream then.
                to.failed = to.failed || errno == ECONNRESET;
                return -1;
            }
            to.writable = errno == EINTR;
        }
        return 0;
    }

    void end_of_stream(Side& from, Side& to)
    {
        if (link_.state().stopped())
            return finish(BridgeEnd::cancelled);
        if (from.failed)
            return reset_by(from, true);
        from.over = true;
        // What is closed right afterwards says so by itself.
        const bool closes = to.over && !to.failed && !refused_;
        if (!closes && !stream_of(to).shutdown_send())
            return not_taken(from);
        link_.state().half_close(LinkState::Clock::now());
        if (&from == &instance_)
            link_.delivered();
        finish_if_over();
    }

    /// Its own answer is still delivered when the instance takes no more, and so are the last bytes of a client that
    /// takes no more.
    void not_taken(Side& from)
    {
        from.over = true;
        if (&from == &instance_) {
            client_.failed = client_.readable = client_.to_the_end = true;
            if (!client_.over)
                poller_.again(client_);
            return reset_by(client_, false);
        }
        refused_ = true;
        client_.parked.reset();
        client_.large_reads = 0;
        PipePool::of_thread().give_back(std::move(client_.pipe));
        client_.urgent = -1;
        finish_if_over();
    }

    void finish_if_over()
    {
        if (ended_ || last_words_ || !client_.over || !instance_.over)
            return;
        if (refused_)
            return reset_by(instance_, true);
        finish(BridgeEnd::completed);
    }

    /// One side's connection was reset. The other side still gets what was sent to it before, as it would get it from
    /// its own system if it were connected directly, and then the reset.
    void reset_by(Side& side, bool all_read)
    {
        if (ended_)
            return;
        auto& other = other_of(side);
        side.over = side.over || all_read;
        other.over = true;
        if (side.over && !side.has_parked() && stream_of(other).unsent() == 0)
            return finish(reset_end(side));
        if (last_words_)
            return;
        last_words_ = std::make_shared<ResetDrain>(link_.client().get_executor(), side);
        watch_last_words();
    }

    /// Looks now and then whether the other side has got everything; gives up when it has stopped taking.
    void watch_last_words()
    {
        last_words_->timer.expires_after(StallDetector::pause);
        last_words_->timer.async_wait([this, weak = std::weak_ptr<ResetDrain>(last_words_)](const asio::error_code&) {
            const auto words = weak.lock();
            if (!words)
                return;
            const auto& side = words->side;
            const auto& other = other_of(side);
            const auto left = stream_of(other).unsent();
            const bool done = side.over && !side.has_parked() && left == 0;
            const auto delivered = link_.bytes_up() + link_.bytes_down() - left;
            if (!done && !other.failed && !words->stall_detector.ends_at(delivered))
                return watch_last_words();
            finish(reset_end(side));
            observer_.bridge_ended(end_);
        });
    }

    BridgeEnd reset_end(const Side& side) const noexcept
    {
        return &side == &client_ ? BridgeEnd::client_reset : BridgeEnd::instance_reset;
    }

    Side& other_of(const Side& side) noexcept { return &side == &client_ ? instance_ : client_; }

    void finish(BridgeEnd end)
    {
        if (std::exchange(ended_, true))
            return;
        end_ = end;
        client_.over = instance_.over = true;
        last_words_.reset();
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
    }

    void leave() noexcept
    {
        PipePool::of_thread().give_back(std::move(client_.pipe));
        PipePool::of_thread().give_back(std::move(instance_.pipe));
        poller_.remove(client_);
        poller_.remove(instance_);
    }

    Stream& stream_of(const Side& side) noexcept { return &side == &client_ ? link_.client() : link_.instance(); }

    Link& link_;
    BridgeObserver& observer_;
    Poller& poller_;
    Side client_, instance_;
    std::shared_ptr<ResetDrain> last_words_;
    BridgeEnd end_ = BridgeEnd::cancelled;
    bool ended_ = false;
    bool busy_ = false;     ///< In `on_events`, which reports the end by itself.
    bool refused_ = false;  ///< The instance takes no more.
};

}  // namespace instancer::detail
