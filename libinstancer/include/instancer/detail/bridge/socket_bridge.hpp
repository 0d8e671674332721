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
#include <instancer/detail/bridge/bridge_state.hpp>
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
    static Result<void> start(Link& link, BridgeObserver& observer);

    /// For `start`.
    SocketBridge(Link& link, BridgeObserver& observer, Poller& poller)
        : link_(link),
          observer_(observer),
          poller_(poller),
          client_(*this, link.client(), Way::up),
          instance_(*this, link.instance(), Way::down)
    {
    }
    ~SocketBridge() override { leave(); }

    void link_over() override
    {
        state_.instance_ended(is_reset(instance_.fd));
        conclude_from_outside();
    }
    void cancel() override
    {
        state_.finish(BridgeEnd::cancelled);
        conclude_from_outside();
    }

private:
    using Way = BridgeState::Way;
    using Event = BridgeState::Event;

    /// How often one side may be read before the others have their turn.
    static constexpr int reads_in_turn = 4;

    /// What pays for a pipe: so much at once, so many times in a row.
    static constexpr std::size_t bulk_size = 64 * 1024;
    static constexpr std::uint8_t bulk_reads = 8;

    /// What one side has sent and the other has yet to get.
    struct Parked {
        explicit Parked(std::span<const std::byte> data) : bytes(data.begin(), data.end()) {}

        /// What was given back to a stream whose socket is read from now on.
        static std::unique_ptr<Parked> unread(Stream& stream);

        std::vector<std::byte> bytes;
        std::size_t taken = 0;
    };

    struct Side;

    /// What goes on when one side's connection was reset and the other one has yet to get what was sent before.
    struct ResetDrain {
        explicit ResetDrain(const asio::any_io_executor& executor) : timer(executor) {}

        asio::steady_timer timer;
        StallDetector stall_detector;
    };

    /// One socket, and the direction that begins there.
    struct Side final : Poller::Entry {
        Side(SocketBridge& owner, Stream& stream, Way half)
            : bridge(owner), fd(stream.native_handle()), way(half), is_tcp(stream.is_tcp()), to_the_end(!is_tcp)
        {
        }

        void on_events(std::uint32_t events) noexcept override { bridge.on_events(*this, events); }

        SocketBridge& bridge;
        std::unique_ptr<Parked> parked;
        std::unique_ptr<Pipe> pipe;  ///< While much data passes; what it holds the other side has yet to get.
        const int fd;
        const Way way;
        std::int16_t urgent = -1;      ///< A byte of urgent data that the other side has yet to get.
        std::uint8_t large_reads = 0;  ///< In a row.
        const bool is_tcp;
        bool readable = false;
        bool writable = true;
        bool to_the_end;            ///< A short read does not mean that nothing more is there.
        bool seen = false;          ///< What the next read begins with was reported, and is not urgent.
        bool maybe_urgent = false;  ///< Urgent data have come.
        bool complete = false;      ///< Nothing more will come.
        bool failed = false;        ///< The connection was reset.

        bool has_parked() const noexcept { return parked || (pipe && pipe->held > 0); }
    };

    Result<void> watch();

    /// The bridge may be gone when this returns.
    void on_events(Side& side, std::uint32_t events) noexcept;

    /// Lets go of everything once the bridge has ended.
    void conclude();

    /// For what does not come through `on_events`. The bridge may be gone when this returns.
    void conclude_from_outside()
    {
        if (concluded_)
            return;
        conclude();
        if (concluded_ && !busy_)
            observer_.bridge_ended(*state_.end());
    }

    void pump(Side& from, Side& to);

    void read(Side& from, Side& to);

    /// Moves what is there through a pipe. False when nothing has happened, and a plain read is what tells more.
    bool splice(Side& from, Side& to);

    bool drop_pipe(Side& from) noexcept
    {
        from.large_reads = 0;
        PipePool::of_thread().give_back(std::move(from.pipe));
        return false;
    }

    void passed(const Side& from, ssize_t written) noexcept;

    bool carries_urgent() const noexcept { return client_.is_tcp && instance_.is_tcp; }

    /// What a read would begin with. The first one after a report needs no look of its own.
    Ahead ahead_of(Side& from) const noexcept;

    /// Whether all that was read before has been written.
    bool flush(Side& from, Side& to);

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

    void end_of_stream(Side& from);

    /// Tells the state what has happened, and does what it says.
    void report(Side& from, Event event);

    void drop_kept(Side& from) noexcept;

    void pass_end(Side& from);

    /// One side's connection was reset. The other side still gets what was sent to it before, as it would get it from
    /// its own system if it were connected directly, and then the reset.
    void drain(Side& lost);

    /// Whether everything from `lost` has been read and delivered.
    bool is_drained(const Side& lost) noexcept
    {
        return !state_.reads(lost.way) && !lost.has_parked() && stream_of(other_of(lost)).unsent() == 0;
    }

    /// Looks now and then whether the other side has got everything; gives up when it has stopped taking.
    void watch_reset_drain();

    Side& lost_side() noexcept { return state_.lost() == Way::up ? client_ : instance_; }

    Side& other_of(const Side& side) noexcept { return &side == &client_ ? instance_ : client_; }

    void leave() noexcept;

    Stream& stream_of(const Side& side) noexcept { return &side == &client_ ? link_.client() : link_.instance(); }

    Link& link_;
    BridgeObserver& observer_;
    Poller& poller_;
    Side client_, instance_;
    BridgeState state_;
    std::shared_ptr<ResetDrain> reset_drain_;
    bool concluded_ = false;
    bool busy_ = false;  ///< In `on_events`, which reports the end by itself.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/bridge/socket_bridge.hpp>
#endif
