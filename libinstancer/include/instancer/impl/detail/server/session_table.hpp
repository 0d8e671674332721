// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <optional>

#include <asio/dispatch.hpp>
#include <asio/post.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/end_cause.hpp>
#include <instancer/detail/server/session.hpp>
#include <instancer/detail/server/session_table.hpp>

namespace instancer::detail {

/// What `SessionTable::snapshot` has gathered from the workers.
class SessionListing {
public:
    SessionListing(const asio::any_io_executor& control, std::size_t count) : complete(control), missing_(count)
    {
        if (missing_ == 0)
            complete.set();
    }

    void add(std::optional<SessionStatus> status)
    {
        if (status)
            sessions_.push_back(std::move(*status));
        if (--missing_ == 0)
            complete.set();
    }

    std::vector<SessionStatus> in_order()
    {
        std::sort(sessions_.begin(), sessions_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
        return std::move(sessions_);
    }

    AsyncEvent complete;

private:
    std::size_t missing_;
    std::vector<SessionStatus> sessions_;
};

INSTANCER_DECL void SessionTable::add(SessionPtr session)
{
    const auto id = session->id();
    sessions_.emplace(id, std::move(session));
}

INSTANCER_DECL void SessionTable::forget(std::uint64_t id)
{
    asio::dispatch(control_, [this, id] {
        sessions_.erase(id);
        on_forgotten_();
    });
}

INSTANCER_DECL bool SessionTable::end(std::uint64_t id, SessionEnd why)
{
    const auto found = sessions_.find(id);
    if (found == sessions_.end())
        return false;
    found->second->end(why);
    return true;
}

INSTANCER_DECL void SessionTable::end_if(const std::function<std::optional<SessionEnd>(const Session&)>& why)
{
    for (const auto& [id, session] : sessions_)
        if (const auto end = why(*session))
            session->end(*end);
}

INSTANCER_DECL void SessionTable::for_each(const std::function<void(Session&)>& visit)
{
    for (const auto& [id, session] : sessions_)
        visit(*session);
}

INSTANCER_DECL std::function<void(InstanceEnd)> SessionTable::instance_listener(const Session& session,
                                                                                std::uint8_t attempt)
{
    return [this, key = session.id() << attempt_bits | attempt](InstanceEnd end) { note_instance_end(key, end); };
}

INSTANCER_DECL void SessionTable::note_instance_end(std::uint64_t key, InstanceEnd end)
{
    const auto found = sessions_.find(key >> attempt_bits);
    if (found == sessions_.end())
        return;
    if (end == InstanceEnd::exited)
        found->second->instance_exited(static_cast<std::uint8_t>(key));
    else
        found->second->end(end_of_instance(end));
}

INSTANCER_DECL asio::awaitable<std::vector<SessionStatus>>
SessionTable::snapshot(std::chrono::steady_clock::duration patience)
{
    const auto listing = std::make_shared<SessionListing>(control_, sessions_.size());
    for (const auto& [id, session] : sessions_)
        session->on_worker([control = control_, listing](const Session& one) {
            asio::post(control, [listing, status = one.status()] { listing->add(status); });
        });
    Deadline latest(control_);
    if (patience > patience.zero())
        latest.set(patience, [listing] { listing->complete.set(); });
    co_await listing->complete.wait();
    co_return listing->in_order();
}

}  // namespace instancer::detail
