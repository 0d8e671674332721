// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/async/host_resolver.hpp>
#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/detail/async/paced_call.hpp>
#include <instancer/detail/socket/address_list.hpp>
#include <instancer/detail/upstream/upstream_connect.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// What goes on beside the connections to a group: names are looked up, servers are checked, and those who wait are
/// let go on.
///
/// Threads: the group's control executor.
class UpstreamUpkeep : public std::enable_shared_from_this<UpstreamUpkeep> {
public:
    using Ptr = std::shared_ptr<UpstreamUpkeep>;

    explicit UpstreamUpkeep(UpstreamGroupPtr group)
        : group_(std::move(group)),
          resolver_(group_->options.look_up),
          stopped_(group_->control),
          change_(group_->control),
          news_(group_->control, QueuePlace::pause)
    {
    }

    /// `listener` hears false when no upstream works any more, and true when one does again.
    void on_available(std::function<void(bool)> listener) { on_available_ = std::move(listener); }

    /// Looks names up for the first time, and goes on with that and with checks until `stop`.
    ///
    /// Errors: Errc::bad_request for an empty list; Errc::stopping.
    static asio::awaitable<Result<void>> prepare(Ptr self);

    /// See `UpstreamBackend::set_upstreams`.
    static asio::awaitable<Result<void>> replace(Ptr self, std::vector<Upstream> upstreams);

    /// What changed may let clients go on that wait, or decide whether any upstream works.
    void reconsider();

    /// Tells clients that wait the places that have changed.
    void tell_places();

    /// Ends it all soon; a look-up that is going on is left to itself.
    void stop()
    {
        stopped_.set();
        change_.cancel();
    }

private:
    using Member = Balancer::Member;
    using MemberPtr = Balancer::MemberPtr;
    using Endpoints = AddressList::Endpoints;
    using Milliseconds = std::chrono::milliseconds;
    /// What look-ups found, by the names of upstreams.
    using Found = std::unordered_map<std::string, Result<Endpoints>>;

    /// How long the start, or a new list, waits for names.
    static constexpr std::chrono::seconds first_look_up_limit{5};
    /// Before a look-up that failed is tried again; then twice as long each time.
    static constexpr Milliseconds first_retry{1000};
    static constexpr Milliseconds longest_retry{30'000};

    asio::awaitable<void> pause(Milliseconds duration);

    // Names.

    /// Look-ups that go on at once.
    struct Batch {
        Batch(const asio::any_io_executor& executor, std::size_t count) : left(count), done(executor) {}

        Found found;
        std::size_t left;
        AsyncEvent done;
    };

    /// All at once, so that one that is slow delays no other.
    static asio::awaitable<Found> look_up_all(Ptr self, std::vector<Upstream> upstreams);

    static asio::awaitable<void> look_up_in(std::shared_ptr<Batch> batch, Ptr self, Upstream upstream);

    static asio::awaitable<Result<Endpoints>> look_up(Ptr self, Upstream upstream);

    /// Those names that have not been looked up yet.
    std::vector<Upstream> unknown_of(const std::vector<Upstream>& upstreams, const Found& found) const;

    void note(const Found& found);

    /// True when it can be looked up now and could not before.
    bool note_look_up(Member& member, const Result<Endpoints>& found);

    bool is_lost(const Member& member) const
    {
        const std::lock_guard lock(group_->mutex);
        return member.lost();
    }

    /// Names can come to stand for other addresses.
    static asio::awaitable<void> keep_looking_up(Ptr self, MemberPtr member);

    /// Of those members that have none yet.
    static void start_tasks(const Ptr& self);

    static void spawn(const Ptr& self, asio::awaitable<void> task)
    {
        asio::co_spawn(self->group_->control, std::move(task), asio::detached);
    }

    bool has_address(const Member& member) const
    {
        const std::lock_guard lock(group_->mutex);
        return member.has_address();
    }

    // Checks.

    /// One after the other, from the second on at moments that those of other upstreams do not share.
    static asio::awaitable<void> keep_checking(Ptr self, MemberPtr member);

    void note_check(Member& member, const Result<void>& works);

    const UpstreamGroupPtr group_;
    HostResolver resolver_;
    AsyncEvent stopped_;
    asio::steady_timer change_;
    PacedCall news_;
    std::function<void(bool)> on_available_;
    bool available_ = true;
    bool prepared_ = false;
    std::uint64_t lists_ = 0;   ///< How many have been asked for.
    std::uint64_t latest_ = 0;  ///< The number of the one that was taken last.
    std::unordered_set<const Member*> looking_up_;
    std::unordered_set<const Member*> checking_;
    std::minstd_rand jitter_{std::random_device{}()};
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/upstream/upstream_upkeep.hpp>
#endif
