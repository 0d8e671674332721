// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <poll.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/pool/instance_record.hpp>

namespace instancer::detail {

INSTANCER_DECL InstanceInfo InstanceRecord::info() const
{
    InstanceInfo info;
    info.id = slot.key();
    info.name = instance.name();
    info.owner = owner;
    info.state = state_name();
    info.age = Clock::now() - since;
    info.clients = sessions.size();
    info.bytes_up = usage->bytes_up();
    info.bytes_down = usage->bytes_down();
    return info;
}

INSTANCER_DECL InstanceSummary InstanceRecord::summary(const std::string& service) const
{
    InstanceSummary summary;
    summary.service = service;
    summary.name = instance.name();
    summary.owner = owner;
    summary.end = end;
    if (!ended_in_order())
        summary.detail = detail;
    summary.age = Clock::now() - since;
    summary.bytes_up = usage->bytes_up();
    summary.bytes_down = usage->bytes_down();
    return summary;
}

INSTANCER_DECL Stream InstanceRecord::take_first(const asio::any_io_executor& executor)
{
    // A server may lose patience with a connection that waited for its client.
    const auto has_hung_up = [](const Stream& stream) {
        pollfd state{stream.native_handle(), POLLRDHUP, 0};
        return state.fd >= 0 && ::poll(&state, 1, 0) == 1;
    };
    Stream stream = std::exchange(first, Stream());
    if (!stream || (warm && has_hung_up(stream)) || !stream.rebind(executor))
        return Stream();
    return stream;
}

INSTANCER_DECL std::uint32_t InstanceRecord::add_session(AcquireRequest& request)
{
    const auto session = sessions.add(request.on_end());
    if (auto& tell = request.on_warning())
        warnings_.emplace(session, Warning{std::move(tell), {}});
    return session;
}

INSTANCER_DECL void InstanceRecord::remove_session(std::uint32_t session)
{
    sessions.erase(session);
    warnings_.erase(session);
}

INSTANCER_DECL void InstanceRecord::warn(const ComingEnd& coming)
{
    for (auto& [session, warning] : warnings_)
        if (std::exchange(warning.told, coming.time) != coming.time)
            warning.tell(coming);
}

INSTANCER_DECL void InstanceRecord::revoke(InstanceEnd why)
{
    for (auto& on_end : sessions)
        if (const auto callback = std::exchange(on_end, nullptr))
            callback(why);
}

INSTANCER_DECL void InstanceRecord::request_stop(InstanceEnd why)
{
    stop_requested = true;
    end = why;
    if (why == InstanceEnd::culled)
        detail = ready && sessions.size() == 0 ? "it had no client" : "";
    wake.cancel();
}

INSTANCER_DECL bool InstanceRecord::ended_in_order() const noexcept
{
    return stop_requested && end != InstanceEnd::start_failed && end != InstanceEnd::start_timeout &&
           end != InstanceEnd::exited && end != InstanceEnd::culled;
}

}  // namespace instancer::detail
