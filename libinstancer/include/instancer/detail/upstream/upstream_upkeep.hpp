// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
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
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/socket/host_resolver.hpp>
#include <instancer/detail/upstream/upstream_connect.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>

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
          change_(group_->control)
    {
    }

    /// `listener` hears false when no upstream works any more, and true when one does again.
    void on_available(std::function<void(bool)> listener) { on_available_ = std::move(listener); }

    /// Looks names up for the first time, and goes on with that and with checks until `stop`.
    ///
    /// Errors: Errc::bad_request for an empty list; Errc::stopping.
    static asio::awaitable<Result<void>> prepare(Ptr self)
    {
        const auto members = self->group_->members();
        if (members.empty())
            co_return fail(Errc::bad_request, "there is no upstream to connect to");
        std::vector<Upstream> names;
        for (const auto& member : members)
            if (member->upstream.is_named())
                names.push_back(member->upstream);
        const auto found = co_await look_up_all(self, std::move(names));
        if (self->stopped_.is_set())
            co_return fail(Errc::stopping);
        self->note(found);
        self->prepared_ = true;
        start_tasks(self);
        self->group_->changed();
        co_return Result<void>();
    }

    /// See `UpstreamBackend::set_upstreams`.
    static asio::awaitable<Result<void>> replace(Ptr self, std::vector<Upstream> upstreams)
    {
        const auto list = ++self->lists_;
        if (upstreams.empty())
            co_return fail(Errc::bad_request, "the list is empty");
        Found found;
        // An earlier list that is taken meanwhile may remove what was there.
        for (std::optional<std::uint64_t> seen; seen != self->latest_;) {
            seen = self->latest_;
            auto more = co_await look_up_all(self, self->unknown_of(upstreams, found));
            found.merge(more);
        }
        if (self->stopped_.is_set())
            co_return fail(Errc::stopping);
        if (list < self->latest_)
            co_return fail(Errc::cancelled, "another list came meanwhile");
        self->latest_ = list;
        {
            const std::lock_guard lock(self->group_->mutex);
            self->group_->balancer.replace(upstreams, self->group_->now());
        }
        self->note(found);
        if (self->prepared_)
            start_tasks(self);
        self->reconsider();
        co_return Result<void>();
    }

    /// What changed may let clients go on that wait, or decide whether any upstream works.
    void reconsider()
    {
        if (stopped_.is_set())
            return;
        std::optional<Balancer::TimePoint> next;
        const bool before = available_;
        {
            const std::lock_guard lock(group_->mutex);
            auto& balancer = group_->balancer;
            balancer.serve(group_->now());
            available_ = balancer.available(group_->now());
            if (!available_ || balancer.waiting() > 0)
                next = balancer.next_change(group_->now());
        }
        if (next) {
            change_.expires_at(*next);
            change_.async_wait([self = shared_from_this()](const asio::error_code& error) {
                if (!error)
                    self->reconsider();
            });
        }
        if (available_ != before && on_available_)
            on_available_(available_);
    }

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

    asio::awaitable<void> pause(Milliseconds duration)
    {
        asio::steady_timer timer(group_->control, duration);
        using namespace asio::experimental::awaitable_operators;
        co_await (timer.async_wait(as_result) || stopped_.wait());
    }

    // Names.

    /// Look-ups that go on at once.
    struct Batch {
        Batch(const asio::any_io_executor& executor, std::size_t count) : left(count), done(executor) {}

        Found found;
        std::size_t left;
        AsyncEvent done;
    };

    /// All at once, so that one that is slow delays no other.
    static asio::awaitable<Found> look_up_all(Ptr self, std::vector<Upstream> upstreams)
    {
        if (upstreams.empty())
            co_return Found();
        const auto& control = self->group_->control;
        const auto batch = std::make_shared<Batch>(control, upstreams.size());
        for (const auto& upstream : upstreams) {
            auto task = look_up_in(batch, self, upstream);
            asio::co_spawn(control, std::move(task), asio::detached);
        }
        co_await batch->done.wait();
        co_return std::move(batch->found);
    }

    static asio::awaitable<void> look_up_in(std::shared_ptr<Batch> batch, Ptr self, Upstream upstream)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer limit(self->group_->control, first_look_up_limit);
        auto first = co_await (look_up(self, upstream) || limit.async_wait(as_result));
        if (first.index() == 0)
            batch->found.emplace(upstream.text(), std::move(std::get<0>(first)));
        else
            batch->found.emplace(upstream.text(),
                                 fail(Errc::timeout, "looking up " + upstream.name() + " takes too long"));
        if (--batch->left == 0)
            batch->done.set();
    }

    static asio::awaitable<Result<Endpoints>> look_up(Ptr self, Upstream upstream)
    {
        using namespace asio::experimental::awaitable_operators;
        auto first = co_await (self->resolver_.find(upstream.name(), upstream.port()) || self->stopped_.wait());
        if (first.index() == 0)
            co_return std::move(std::get<0>(first));
        co_return fail(Errc::stopping);
    }

    /// Those names that have not been looked up yet.
    std::vector<Upstream> unknown_of(const std::vector<Upstream>& upstreams, const Found& found) const
    {
        std::unordered_set<std::string> known;
        for (const auto& member : group_->members())
            if (!member->removed())
                known.insert(member->name);
        std::vector<Upstream> unknown;
        for (const auto& upstream : upstreams) {
            const auto name = upstream.text();
            if (upstream.is_named() && !known.contains(name) && !found.contains(name))
                unknown.push_back(upstream);
        }
        return unknown;
    }

    void note(const Found& found)
    {
        for (const auto& member : group_->members())
            if (const auto entry = found.find(member->name); entry != found.end())
                note_look_up(*member, entry->second);
    }

    /// True when it can be looked up now and could not before.
    bool note_look_up(Member& member, const Result<Endpoints>& found)
    {
        std::unique_lock lock(group_->mutex);
        const bool is_new =
            found ? group_->balancer.found(member, *found, group_->now()) : group_->balancer.not_found(member);
        const bool has_address = member.has_address();
        lock.unlock();
        if (!is_new)
            return false;
        const auto name = "upstream " + member.name;
        if (found)
            group_->events.notice(group_->service, name + " can be looked up again");
        else if (has_address)
            group_->events.warning(group_->service,
                                   name + ": " + found.error().message() + "; its last addresses stay in use");
        else
            group_->events.warning(group_->service, name + " is down: " + found.error().message() +
                                                        "; that is tried again until it works");
        return found.has_value();
    }

    bool is_lost(const Member& member) const
    {
        const std::lock_guard lock(group_->mutex);
        return member.lost();
    }

    /// Names can come to stand for other addresses.
    static asio::awaitable<void> keep_looking_up(Ptr self, MemberPtr member)
    {
        const Milliseconds interval = self->group_->options.resolve_interval;
        const Milliseconds longest = interval > interval.zero() ? interval : longest_retry;
        auto retry = std::min(first_retry, longest);
        while (!member->removed()) {
            const bool lost = self->is_lost(*member);
            if (!lost && interval == interval.zero())
                break;
            retry = lost ? retry : std::min(first_retry, longest);
            const auto duration = lost ? std::exchange(retry, std::min(retry * 2, longest)) : interval;
            co_await self->pause(duration);
            if (self->stopped_.is_set() || member->removed())
                break;
            const auto found = co_await look_up(self, member->upstream);
            if (self->stopped_.is_set())
                break;
            if (self->note_look_up(*member, found)) {
                start_tasks(self);
                self->reconsider();
            }
        }
        self->looking_up_.erase(member.get());
    }

    /// Of those members that have none yet.
    static void start_tasks(const Ptr& self)
    {
        const auto& options = self->group_->options;
        for (const auto& member : self->group_->members()) {
            if (member->removed())
                continue;
            if (member->upstream.is_named() && self->looking_up_.insert(member.get()).second)
                spawn(self, keep_looking_up(self, member));
            if (options.check.interval > options.check.interval.zero() && self->has_address(*member) &&
                self->checking_.insert(member.get()).second)
                spawn(self, keep_checking(self, member));
        }
    }

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
    static asio::awaitable<void> keep_checking(Ptr self, MemberPtr member)
    {
        const auto interval = self->group_->options.check.interval;
        std::uniform_real_distribution<double> second(0, 1), later(0.9, 1.1);
        double part = second(self->jitter_);
        while (!self->stopped_.is_set() && !member->removed()) {
            const auto works = co_await check_upstream(self->group_, member);
            if (self->stopped_.is_set())
                break;
            if (works || !is_want_of_ours(works.error()))
                self->note_check(*member, works);
            const std::chrono::duration<double, std::milli> duration = interval * part;
            co_await self->pause(std::chrono::duration_cast<Milliseconds>(duration));
            part = later(self->jitter_);
        }
        self->checking_.erase(member.get());
    }

    void note_check(Member& member, const Result<void>& works)
    {
        std::unique_lock lock(group_->mutex);
        const bool changed = group_->balancer.checked(member, works.has_value(), group_->now());
        lock.unlock();
        if (!changed)
            return;
        const auto name = "upstream " + member.name;
        if (works)
            group_->events.notice(group_->service, name + " is up again");
        else
            group_->events.warning(group_->service, name + " is down: " + works.error().message());
        reconsider();
    }

    const UpstreamGroupPtr group_;
    HostResolver resolver_;
    AsyncEvent stopped_;
    asio::steady_timer change_;
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
