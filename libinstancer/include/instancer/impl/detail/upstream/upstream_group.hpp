// SPDX-License-Identifier: MIT
#pragma once

#include <random>

#include <instancer/backend/upstream_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

INSTANCER_DECL UpstreamGroup::UpstreamGroup(asio::any_io_executor on, std::string name, UpstreamOptions given,
                                            Events& observer)
    : control(std::move(on)),
      service(std::move(name)),
      options(std::move(given)),
      events(observer),
      balancer(options, std::random_device{}())
{
}

INSTANCER_DECL void UpstreamGroup::note_answer(Balancer::Member& member, const Endpoint& endpoint,
                                               const Result<void>& answer)
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
        events.warning(service, name + answer.error().message() + "; its other addresses are tried first for a minute");
}

INSTANCER_DECL UpstreamConnection::Selection UpstreamConnection::take_another(const asio::any_io_executor& executor,
                                                                              ServedPtr& served,
                                                                              const Balancer::PlaceListener& on_place)
{
    const auto name = member()->name;
    std::unique_lock lock(group_->mutex);
    const bool is_new = group_->balancer.failed(attempt_, group_->now());
    const auto turn = take_locked(executor, served, on_place);
    group_->queue_changed();
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

INSTANCER_DECL void UpstreamConnection::note_success()
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

INSTANCER_DECL UpstreamConnection::Selection UpstreamConnection::take_locked(const asio::any_io_executor& executor,
                                                                             ServedPtr& served,
                                                                             const Balancer::PlaceListener& on_place)
{
    const auto turn = group_->balancer.take(attempt_, group_->now());
    if (turn != Selection::wait)
        return turn;
    served = std::make_shared<OneShot<bool>>(executor);
    attempt_.on_served([served] { served->complete(true); });
    if (on_place) {
        attempt_.on_place(on_place);
        group_->tells = true;
    }
    group_->queue_changed();
    if (group_->balancer.next_change(group_->now()))
        group_->changed();
    return turn;
}

}  // namespace instancer::detail
