// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
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

#include <instancer/detail/async/asio_compat.hpp>
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

    /// Who watches a descriptor.
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
    static Result<Poller*> of(const asio::any_io_executor& executor)
    {
        auto& poller = asio::use_service<Poller>(asio::query(executor, asio::execution::context));
        if (!poller.epoll_)
            if (auto opened = poller.open(executor); !opened)
                return fail(opened.error());
        return &poller;
    }

    /// Watches `fd` for everything, edge-triggered. What is the case already is reported as well.
    ///
    /// Errors: what the system reports.
    /// Lifetime: `entry` must stay until `remove`.
    Result<void> add(int fd, Entry& entry)
    {
        if (free_.empty()) {
            free_.push_back(static_cast<std::uint32_t>(slots_.size()));
            slots_.emplace_back();
        }
        const auto index = free_.back();
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
        event.data.u64 = key(index);
        if (::epoll_ctl(epoll_->native_handle(), EPOLL_CTL_ADD, fd, &event) != 0)
            return fail(std::error_code(errno, std::system_category()), "watching a connection");
        free_.pop_back();
        slots_[index].entry = &entry;
        entry.slot_ = index;
        ++watched_;
        if (!armed_)
            wait();
        return {};
    }

    /// The entry hears nothing more. Its descriptor is to be closed: that ends the registration. A child that is born
    /// at that moment can hold it for a while; what is reported until then finds nobody.
    void remove(Entry& entry) noexcept
    {
        const auto index = std::exchange(entry.slot_, Entry::none);
        if (index == Entry::none)
            return;
        slots_[index].entry = nullptr;
        ++slots_[index].generation;
        free_.push_back(index);
        entry.queued_ = false;
        if (--watched_ == 0 && epoll_)
            epoll_->cancel();
    }

    /// For so long it looks for more, with a whole processor, before it sleeps.
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

    Result<void> open(const asio::any_io_executor& executor)
    {
        UniqueFd fd(::epoll_create1(EPOLL_CLOEXEC));
        if (!fd)
            return fail(std::error_code(errno, std::system_category()), "making an epoll");
        asio::posix::stream_descriptor descriptor(executor);
        asio::error_code error;
        descriptor.assign(fd.get(), error);
        if (error)
            return fail(error, "watching an epoll");
        fd.release();
        epoll_.emplace(std::move(descriptor));
        return {};
    }

    void shutdown() override { epoll_.reset(); }

    void wait()
    {
        armed_ = true;
        epoll_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
            armed_ = false;
            if (!error)
                run();
            else if (epoll_ && watched_ > 0)
                wait();
        });
    }

    /// One look; what it leaves is reported again, as Asio re-arms its wait. With busy polling it goes on to look for a
    /// while, but Asio has its turn after that, whatever comes.
    void run()
    {
        running_ = true;
        const auto count = deal_with_events();
        bool more = false;
        if (busy_poll_ > busy_poll_.zero() && (count > 0 || more_))
            for (const auto end = Clock::now() + busy_poll_; watched_ > 0 && again_.empty() && Clock::now() < end;)
                more = deal_with_events() > 0 || more;
        more_ = more;
        deal_with_again();
        running_ = false;
        if (watched_ == 0)
            again_.clear();
        else if (count == batch_size || more || !again_.empty())
            come_back();
        else if (!armed_)
            wait();
    }

    std::size_t deal_with_events()
    {
        const int count = ::epoll_wait(epoll_->native_handle(), batch_.data(), static_cast<int>(batch_.size()), 0);
        const auto reported = std::span(batch_).first(static_cast<std::size_t>(std::max(count, 0)));
        for (const auto& event : reported)
            if (auto* const entry = find(event.data.u64))
                entry->on_events(event.events);
        return reported.size();
    }

    void deal_with_again()
    {
        std::swap(turn_, again_);
        for (const auto one : turn_)
            if (auto* const entry = find(one)) {
                entry->queued_ = false;
                entry->on_events(0);
            }
        turn_.clear();
    }

    void come_back()
    {
        armed_ = true;
        asio::post(epoll_->get_executor(), [this] {
            armed_ = false;
            run();
        });
    }

    /// What asked for another turn while nobody had one.
    void call_again()
    {
        if (std::exchange(called_, true))
            return;
        asio::post(epoll_->get_executor(), [this] {
            called_ = false;
            running_ = true;
            deal_with_again();
            running_ = false;
            if (!again_.empty())
                call_again();
        });
    }

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
