// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <asio/post.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/socket/address_list.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// The upstreams of a service, shared with every connection to one of them.
///
/// Threads: any.
class UpstreamGroup {
public:
    using MemberPtr = Balancer::MemberPtr;
    using Endpoint = AddressList::Endpoint;
    using Endpoints = AddressList::Endpoints;

    UpstreamGroup(asio::any_io_executor on, std::string name, UpstreamOptions given, Events& observer);

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
    void note_answer(Balancer::Member& member, const Endpoint& endpoint, const Result<void>& answer);

    /// Has `reconsider` called soon.
    void changed() const { asio::post(control, reconsider); }

    /// The queue may have changed: has `tell_places` called soon, if somebody who waits wants to know. Under `mutex`.
    void queue_changed()
    {
        if (tells && balancer.waiting() > 0 && !std::exchange(telling, true))
            asio::post(control, tell_places);
    }

    const asio::any_io_executor control;
    const std::string service;
    const UpstreamOptions options;
    Events& events;
    std::function<void()> reconsider;   ///< Set once, before the first connection; runs on the control executor.
    std::function<void()> tell_places;  ///< The same.
    std::mutex mutex;
    Balancer balancer;     ///< Under `mutex`, as is what follows.
    bool tells = false;    ///< Some client wants to know its place.
    bool telling = false;  ///< `tell_places` has been called, and has yet to tell.
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
        group_->queue_changed();
    }

    /// Where it goes.
    const Balancer::MemberPtr& member() const noexcept { return attempt_.member(); }

    /// The first turn. `served` is there when it is to wait; then `on_place`, if there is one, hears of its place.
    Selection take(const asio::any_io_executor& executor, ServedPtr& served, const Balancer::PlaceListener& on_place)
    {
        const std::lock_guard lock(group_->mutex);
        return take_locked(executor, served, on_place);
    }

    /// The next turn, after a failure.
    Selection take_another(const asio::any_io_executor& executor, ServedPtr& served,
                           const Balancer::PlaceListener& on_place);

    void note_success();

private:
    Selection take_locked(const asio::any_io_executor& executor, ServedPtr& served,
                          const Balancer::PlaceListener& on_place);

    Balancer::Attempt attempt_;
    const UpstreamGroupPtr group_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/upstream/upstream_group.hpp>
#endif
