// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <sys/epoll.h>

#include <instancer/async/as_result.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// One epoll per io_context for the descriptors of bridges, which Asio sees as a single one: each descriptor is
/// registered once in its life, where a wait of Asio's own costs a system call every time.
///
/// Threads: that of its io_context, which only one thread may run.
class Poller final : public asio::execution_context::service {
public:
    using key_type = Poller;
    [[gnu::visibility("default")]] static inline asio::execution_context::id id;

    /// The watcher of a descriptor.
    class Entry {
    public:
        Entry() = default;
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

        virtual ~Entry() = default;

        /// What has changed since the last time, as bits of epoll; none after `again`. It may destroy the entry.
        virtual void on_events(std::uint32_t events) noexcept = 0;

    private:
        friend Poller;
        static constexpr std::uint32_t none = ~std::uint32_t{0};

        std::uint32_t slot_ = none;
        bool queued_ = false;  ///< In `again_`.
    };

    explicit Poller(asio::execution_context& context) : asio::execution_context::service(context) {}

    /// Errors: what the system reports, as when descriptors lack.
    static Result<Poller*> of(const asio::any_io_executor& executor);

    /// Watches `fd` for everything, edge-triggered. What is the case already is reported as well.
    ///
    /// Errors: what the system reports.
    /// Lifetime: `entry` must stay until `remove`.
    Result<void> add(int fd, Entry& entry);

    /// The entry hears nothing more. Its descriptor is to be closed: that ends the registration. A child that is born
    /// at that moment can hold it for a while; what is reported until then finds nobody.
    void remove(Entry& entry) noexcept;

    /// How long it looks for more, with a whole processor, before it sleeps.
    void busy_poll(std::chrono::microseconds duration) noexcept { busy_poll_ = duration; }

    /// For a descriptor that goes on without the poller.
    void undo_add(int fd, Entry& entry) noexcept
    {
        if (epoll_)
            ::epoll_ctl(epoll_->native_handle(), EPOLL_CTL_DEL, fd, nullptr);
        remove(entry);
    }

    /// Calls `entry` once more after all others had their turn; not before this returns.
    void again(Entry& entry)
    {
        if (std::exchange(entry.queued_, true))
            return;
        again_.push_back(key(entry.slot_));
        if (!running_)
            call_again();
    }

private:
    using Clock = std::chrono::steady_clock;

    /// Events taken at once. A guess: 768 bytes of stack.
    static constexpr std::size_t batch_size = 64;

    /// Where an event finds its entry. Generations tell apart those that had the same slot, one after the other.
    struct Slot {
        Entry* entry = nullptr;
        std::uint32_t generation = 0;
    };

    std::uint64_t key(std::uint32_t index) const noexcept
    {
        return std::uint64_t{slots_[index].generation} << 32 | index;
    }

    Entry* find(std::uint64_t key) const noexcept
    {
        const auto& slot = slots_[static_cast<std::uint32_t>(key)];
        return slot.generation == key >> 32 ? slot.entry : nullptr;
    }

    Result<void> open(const asio::any_io_executor& executor);

    void shutdown() override { epoll_.reset(); }

    void wait();

    /// One look; what it leaves is reported again, as Asio re-arms its wait. With busy polling it goes on to look for a
    /// while, but Asio has its turn after that, whatever comes.
    void run();

    std::size_t deal_with_events();

    void deal_with_again();

    void come_back()
    {
        armed_ = true;
        asio::post(epoll_->get_executor(), [this] {
            armed_ = false;
            run();
        });
    }

    /// What asked for another turn while nobody had one.
    void call_again();

    std::optional<asio::posix::stream_descriptor> epoll_;
    std::chrono::microseconds busy_poll_{0};
    bool more_ = false;     ///< Came while it looked, the last time.
    bool armed_ = false;    ///< Something will call `run`.
    bool running_ = false;  ///< Entries are being called.
    bool called_ = false;   ///< Something will call those that asked for another turn.
    std::array<epoll_event, batch_size> batch_;
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_;  ///< Slots without an entry.
    std::vector<std::uint64_t> again_, turn_;
    std::size_t watched_ = 0;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/poller.hpp>
#endif
