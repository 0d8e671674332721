// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/detail/async/async_signal.hpp>
#include <instancer/detail/container/chunk_queue.hpp>
#include <instancer/instance.hpp>
#include <instancer/lender.hpp>
#include <instancer/relay/relay_observer.hpp>
#include <instancer/relay/relay_options.hpp>
#include <instancer/relay/relay_status.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

class RelayMember;

/// What all channels of a relay share.
class RelayRules {
public:
    RelayRules(const RelayOptions& wanted, RelayObserver& by) : options(wanted), observer(by), echo(wanted.echo) {}

    const RelayOptions options;
    RelayObserver& observer;
    std::atomic<bool> echo;
};

/// Members, and what each of them has yet to get. What one sends goes to each other one: at once as far as its
/// connection takes it, the rest by a queue of references to one copy.
///
/// Who may send is asked before anything is read from a client, and nobody may while somebody else has a queue: so a
/// member has at most one read's worth of bytes waiting for it. Of those who wait, who has not sent for longest goes
/// first.
///
/// Threads: its executor, but `name`, `executor` and `ended`.
class RelayChannel final : public Instance::State, public std::enable_shared_from_this<RelayChannel> {
public:
    RelayChannel(const asio::any_io_executor& control, asio::any_io_executor home, std::string name,
                 std::shared_ptr<const RelayRules> rules)
        : ended(control),
          executor_(std::move(home)),
          name_(std::move(name)),
          rules_(std::move(rules)),
          slow_timer_(executor_)
    {
    }

    const std::string& name() const noexcept { return name_; }
    const asio::any_io_executor& executor() const noexcept { return executor_; }

    /// A new member.
    ///
    /// Errors: Errc::full; Errc::instance_gone when the channel is closed.
    Result<std::shared_ptr<RelayMember>> join(std::uint64_t session, const ClientInfo& client);

    /// Nobody joins any more, and all members are cut off.
    void close();

    RelayChannelStatus status() const;

    /// Echo was turned on or off.
    void rules_changed() { wake_senders(); }

    AsyncEvent ended;  ///< The control executor's own.

private:
    friend RelayMember;
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t any_number = std::numeric_limits<std::size_t>::max();

    bool echo() const noexcept { return rules_->echo.load(std::memory_order_relaxed); }
    const RelayOptions& options() const noexcept { return rules_->options; }
    bool is_alone(const RelayMember& member) const noexcept;
    bool holds(const RelayMember& member) const noexcept;
    bool passes_ends() const noexcept { return options().end == MemberEnd::pass; }
    std::size_t max_members() const noexcept { return passes_ends() ? 2 : options().max_members; }
    RelayMember* peer_of(const RelayMember& member) const noexcept;
    void pass_end(RelayMember& member);
    std::size_t room_for(const RelayMember& member) const noexcept;
    void pass(RelayMember& sender, std::span<const std::byte> data);
    void fan_out(RelayMember& sender, std::span<const std::byte> data);
    void hold(std::span<const std::byte> data);
    void leave(RelayMember& member);
    void note_queue(RelayMember& member);
    void wait_for_turn(RelayMember& member);
    void wake_senders();
    void cut(RelayMember& member, std::string_view why);
    void watch_slow();
    void cut_slow();

    asio::any_io_executor executor_;
    std::string name_;
    std::shared_ptr<const RelayRules> rules_;
    std::vector<RelayMember*> members_;   ///< Those who get what is sent, in the order in which they came.
    std::vector<RelayMember*> departed_;  ///< Those who have yet to take what was sent before they left.
    std::vector<RelayMember*> waiting_;   ///< To send.
    std::uint64_t sent_ = 0;              ///< Counts what was sent.
    std::size_t slow_ = 0;                ///< How many members have a queue.
    ChunkQueue held_;                     ///< For the next member that joins.
    ChunkStore store_;
    asio::steady_timer slow_timer_;
    bool slow_timer_runs_ = false;
    bool closed_ = false;
};

/// One end of a channel, as whoever bridges it to a client sees it: what is written goes to the others, what is read
/// comes from them.
class RelayMember final : public Lender, public std::enable_shared_from_this<RelayMember> {
public:
    RelayMember(std::shared_ptr<RelayChannel> channel, std::uint64_t session, const ClientInfo& client);
    ~RelayMember() { close(); }

    const asio::any_io_executor& executor() const noexcept { return channel_->executor(); }

    Result<std::size_t> write(std::span<const std::byte> data);

    Result<std::size_t> read(std::span<std::byte> buffer);

    /// It sends no more.
    void end_sending();

    /// It is there no more, and what it has yet to get is lost.
    void close()
    {
        if (std::exchange(closed_, true))
            return;
        sends_ = false;
        discard_input();
        channel_->leave(*this);
        wake();
    }

    bool is_closed() const noexcept { return closed_; }

    bool is_ready(Readiness what);

    void set_borrower(Borrower* borrower) noexcept override { borrower_ = borrower; }

    Result<std::span<const std::byte>> peek() override;

    void consume(std::size_t count) override
    {
        queue_.pop(count);
        channel_->note_queue(*this);
    }

    void discard_input() override
    {
        receives_ = false;
        queue_.clear();
        channel_->note_queue(*this);
    }

    std::size_t writable_bytes() override
    {
        if (!sends_)
            return RelayChannel::any_number;
        const auto room = channel_->room_for(*this);
        if (room == 0)
            channel_->wait_for_turn(*this);
        return room;
    }

    AsyncSignal readable, writable, vanished;  ///< For those who wait by a coroutine.

private:
    friend RelayChannel;

    static constexpr std::size_t with_greeting = 16;

    /// It gets nothing after what it has yet to get, and may go on to send.
    void end_input()
    {
        input_ended_ = true;
        wake_reader();
    }

    /// The member that it was joined with has gone without an end: after what it has yet to get it is reset.
    void lose_peer()
    {
        sends_ = false;
        peer_lost_ = true;
        depart();
        wake();
    }

    /// It leaves, but for what it has yet to get.
    void depart()
    {
        departed_ = true;
        channel_->leave(*this);
        wake_reader();
    }

    std::size_t offer(std::span<const std::byte> data) noexcept
    {
        return borrower_ && queue_.empty() ? borrower_->offer(data) : 0;
    }

    void wake_reader()
    {
        if (borrower_)
            borrower_->changed();
        readable.notify();
    }

    void wake()
    {
        wake_reader();
        writable.notify();
        vanished.notify();
    }

    std::shared_ptr<RelayChannel> channel_;
    const RelayMemberInfo info_;
    Borrower* borrower_ = nullptr;
    ChunkQueue queue_;
    std::size_t offered_ = 0;                     ///< What it took of what is being passed.
    RelayChannel::Clock::time_point slow_since_;  ///< While it counts as slow.
    std::uint64_t last_sent_ = 0;                 ///< When, in terms of the channel's count.
    bool is_slow_ = false;                        ///< It has a queue, and others wait for that.
    bool waits_ = false;                          ///< To send.
    bool sends_ = true;
    bool receives_ = true;
    bool has_sent_ = false;
    bool leaves_ = false;    ///< As soon as somebody has got what it sent.
    bool departed_ = false;  ///< Its queue is all that it still gets.
    bool input_ended_ = false;
    bool peer_lost_ = false;
    bool cut_ = false;
    bool closed_ = false;
};

inline void RelayChannel::close()
{
    closed_ = true;
    slow_timer_.cancel();
    while (!members_.empty())
        cut(*members_.back(), {});
}

inline bool RelayChannel::is_alone(const RelayMember& member) const noexcept
{
    return !echo() && members_.size() == 1 && members_.front() == &member;
}

/// Whether there are bytes that only wait for somebody to join.
inline bool RelayChannel::holds(const RelayMember& member) const noexcept { return is_alone(member) && !held_.empty(); }

inline void RelayChannel::hold(std::span<const std::byte> data)
{
    const auto [chunk, bytes] = store_.keep(data);
    held_.push(chunk, bytes);
}

inline void RelayChannel::wait_for_turn(RelayMember& member)
{
    if (!std::exchange(member.waits_, true))
        waiting_.push_back(&member);
}

/// The Stream of a member.
class RelayStream final : public Stream::Impl {
public:
    explicit RelayStream(std::shared_ptr<RelayMember> member) : member_(std::move(member)) {}
    ~RelayStream() override { member_->close(); }

    asio::any_io_executor get_executor() override { return member_->executor(); }
    Result<std::size_t> try_read(std::span<std::byte> buffer) override { return member_->read(buffer); }
    Result<std::size_t> try_write(std::span<const std::byte> data) override { return member_->write(data); }

    asio::awaitable<Result<void>> wait(Readiness what) override;

    Result<void> shutdown_send() override
    {
        member_->end_sending();
        return {};
    }

    void abort() noexcept override { member_->close(); }
    void close() noexcept override { member_->close(); }

    Result<void> rebind(const asio::any_io_executor& executor) override
    {
        if (executor == member_->executor())
            return {};
        return fail(Errc::not_supported, "a member of a channel stays on the channel's worker");
    }

    Lender* lender() noexcept override { return member_.get(); }

private:
    std::shared_ptr<RelayMember> member_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/relay/relay_channel.hpp>
#endif
