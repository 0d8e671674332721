// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <asio/post.hpp>

#include <instancer/backend/balancer.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/async/one_shot.hpp>
#include <instancer/events.hpp>

namespace instancer::detail {

/// The upstreams of a service, shared with every connection to one of them.
///
/// Threads: any.
class UpstreamGroup {
public:
    using MemberPtr = Balancer::MemberPtr;
    using Endpoint = AddressList::Endpoint;
    using Endpoints = AddressList::Endpoints;

    UpstreamGroup(asio::any_io_executor on, std::string name, UpstreamOptions given, Events& observer)
        : control(std::move(on)),
          service(std::move(name)),
          options(std::move(given)),
          events(observer),
          balancer(options, std::random_device{}())
    {
    }

    static Balancer::TimePoint now() { return std::chrono::steady_clock::now(); }

    std::vector<MemberPtr> members()
    {
        const std::lock_guard lock(mutex);
        return balancer.members();
    }

    Endpoints addresses_of(const Balancer::Member& member)
    {
        const std::lock_guard lock(mutex);
        return member.addresses.in_order(now());
    }

    /// What became of a connection to one of several addresses of `member`.
    void note_answer(Balancer::Member& member, const Endpoint& endpoint, const Result<void>& answer)
    {
        std::unique_lock lock(mutex);
        const bool is_new = answer ? member.addresses.worked(endpoint) : member.addresses.failed(endpoint, now());
        lock.unlock();
        if (!is_new)
            return;
        const auto name = "upstream " + member.name + ": ";
        if (answer)
            events.notice(service, name + ClientInfo::format(endpoint) + " takes connections again");
        else
            events.warning(service,
                           name + answer.error().message() + "; its other addresses are tried first for a minute");
    }

    /// Has `reconsider` called soon.
    void changed() const { asio::post(control, reconsider); }

    const asio::any_io_executor control;
    const std::string service;
    const UpstreamOptions options;
    Events& events;
    std::function<void()> reconsider;  ///< Set once, before the first connection; runs on the control executor.
    std::mutex mutex;
    Balancer balancer;  ///< Under `mutex`.
};
using UpstreamGroupPtr = std::shared_ptr<UpstreamGroup>;

/// A client's connection to one of the upstreams; counted until it is destroyed.
class UpstreamConnection {
public:
    using Selection = Balancer::Selection;
    /// Tells a connection that it need not wait any more.
    using ServedPtr = std::shared_ptr<OneShot<bool>>;

    UpstreamConnection(UpstreamGroupPtr group, std::uint64_t source) : attempt_(source), group_(std::move(group)) {}
    UpstreamConnection(const UpstreamConnection&) = delete;
    UpstreamConnection& operator=(const UpstreamConnection&) = delete;
    ~UpstreamConnection()
    {
        const std::lock_guard lock(group_->mutex);
        group_->balancer.release(attempt_, group_->now());
    }

    /// Where it goes.
    const Balancer::MemberPtr& member() const noexcept { return attempt_.member(); }

    /// The first turn. `served` is there when it is to wait.
    Selection take(const asio::any_io_executor& executor, ServedPtr& served)
    {
        const std::lock_guard lock(group_->mutex);
        return take_locked(executor, served);
    }

    /// The next turn, after a failure.
    Selection take_another(const asio::any_io_executor& executor, ServedPtr& served)
    {
        const auto name = member()->name;
        std::unique_lock lock(group_->mutex);
        const bool is_new = group_->balancer.failed(attempt_, group_->now());
        const auto turn = take_locked(executor, served);
        // Only then can it have become the end of something, and who waits may have room where it has rested.
        const bool concerns = !group_->balancer.available(group_->now()) || group_->balancer.waiting() > 0;
        lock.unlock();
        if (is_new)
            group_->events.warning(group_->service,
                                   "upstream " + name + " takes no connections; it is tried last from now on");
        if (concerns)
            group_->changed();
        return turn;
    }

    void note_success()
    {
        if (!attempt_.matters())
            return;
        std::unique_lock lock(group_->mutex);
        const bool rested = group_->balancer.succeeded(attempt_, group_->now());
        lock.unlock();
        if (!rested)
            return;
        group_->events.notice(group_->service, "upstream " + member()->name + " takes connections again");
        group_->changed();
    }

private:
    Selection take_locked(const asio::any_io_executor& executor, ServedPtr& served)
    {
        const auto turn = group_->balancer.take(attempt_, group_->now());
        if (turn != Selection::wait)
            return turn;
        served = std::make_shared<OneShot<bool>>(executor);
        attempt_.on_served([served] { served->complete(true); });
        if (group_->balancer.next_change(group_->now()))
            group_->changed();
        return turn;
    }

    Balancer::Attempt attempt_;
    const UpstreamGroupPtr group_;
};

}  // namespace instancer::detail
