// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>

#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/upstream/upstream_upkeep.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

INSTANCER_DECL asio::awaitable<Result<void>> UpstreamUpkeep::prepare(Ptr self)
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

INSTANCER_DECL asio::awaitable<Result<void>> UpstreamUpkeep::replace(Ptr self, std::vector<Upstream> upstreams)
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

INSTANCER_DECL void UpstreamUpkeep::reconsider()
{
    if (stopped_.is_set())
        return;
    std::optional<Balancer::TimePoint> next;
    const bool before = available_;
    {
        const std::lock_guard lock(group_->mutex);
        auto& balancer = group_->balancer;
        balancer.serve(group_->now());
        group_->queue_changed();
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

INSTANCER_DECL void UpstreamUpkeep::tell_places()
{
    news_.request(weak_from_this(), [this] {
        std::unique_lock lock(group_->mutex);
        group_->telling = false;
        const auto changed = group_->balancer.changed_places();
        lock.unlock();
        for (const auto& [tell, place] : changed)
            tell(place);
    });
}

INSTANCER_DECL asio::awaitable<void> UpstreamUpkeep::pause(Milliseconds duration)
{
    asio::steady_timer timer(group_->control, duration);
    using namespace asio::experimental::awaitable_operators;
    co_await (timer.async_wait(as_result) || stopped_.wait());
}

INSTANCER_DECL asio::awaitable<UpstreamUpkeep::Found> UpstreamUpkeep::look_up_all(Ptr self,
                                                                                  std::vector<Upstream> upstreams)
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

INSTANCER_DECL asio::awaitable<void> UpstreamUpkeep::look_up_in(std::shared_ptr<Batch> batch, Ptr self,
                                                                Upstream upstream)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer limit(self->group_->control, first_look_up_limit);
    auto first = co_await (look_up(self, upstream) || limit.async_wait(as_result));
    if (first.index() == 0)
        batch->found.emplace(upstream.text(), std::move(std::get<0>(first)));
    else
        batch->found.emplace(upstream.text(), fail(Errc::timeout, "looking up " + upstream.name() + " takes too long"));
    if (--batch->left == 0)
        batch->done.set();
}

INSTANCER_DECL asio::awaitable<Result<UpstreamUpkeep::Endpoints>> UpstreamUpkeep::look_up(Ptr self, Upstream upstream)
{
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (self->resolver_.find(upstream.name(), upstream.port()) || self->stopped_.wait());
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return fail(Errc::stopping);
}

INSTANCER_DECL std::vector<Upstream> UpstreamUpkeep::unknown_of(const std::vector<Upstream>& upstreams,
                                                                const Found& found) const
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

INSTANCER_DECL void UpstreamUpkeep::note(const Found& found)
{
    for (const auto& member : group_->members())
        if (const auto entry = found.find(member->name); entry != found.end())
            note_look_up(*member, entry->second);
}

INSTANCER_DECL bool UpstreamUpkeep::note_look_up(Member& member, const Result<Endpoints>& found)
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
        group_->events.warning(group_->service,
                               name + " is down: " + found.error().message() + "; that is tried again until it works");
    return found.has_value();
}

INSTANCER_DECL asio::awaitable<void> UpstreamUpkeep::keep_looking_up(Ptr self, MemberPtr member)
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

INSTANCER_DECL void UpstreamUpkeep::start_tasks(const Ptr& self)
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

INSTANCER_DECL asio::awaitable<void> UpstreamUpkeep::keep_checking(Ptr self, MemberPtr member)
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

INSTANCER_DECL void UpstreamUpkeep::note_check(Member& member, const Result<void>& works)
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

}  // namespace instancer::detail
