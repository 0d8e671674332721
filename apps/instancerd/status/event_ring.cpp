// SPDX-License-Identifier: MIT
#include "status/event_ring.hpp"

#include <algorithm>
#include <utility>

#include "config/text.hpp"

namespace instancer::daemon {

namespace {

/// The first line: what follows it is output of an instance.
std::string first_line(std::string_view text) { return one_line(text.substr(0, text.find('\n')), 500); }

}  // namespace

std::vector<RecordedEvent> EventRing::after(std::uint64_t id, std::size_t most) const
{
    const std::lock_guard lock(mutex_);
    const auto first = std::partition_point(events_.begin(), events_.end(),
                                            [id](const RecordedEvent& event) { return event.id <= id; });
    const auto count = std::min(most, static_cast<std::size_t>(events_.end() - first));
    return {first, first + static_cast<std::ptrdiff_t>(count)};
}

std::uint64_t EventRing::last_id() const
{
    const std::lock_guard lock(mutex_);
    return last_id_;
}

std::uint64_t EventRing::subscribe(std::function<void()> wake)
{
    const std::lock_guard lock(mutex_);
    subscribers_.emplace(++last_subscription_, std::move(wake));
    return last_subscription_;
}

void EventRing::unsubscribe(std::uint64_t subscription)
{
    const std::lock_guard lock(mutex_);
    subscribers_.erase(subscription);
}

void EventRing::add(RecordedEvent event)
{
    const std::lock_guard lock(mutex_);
    event.id = ++last_id_;
    events_.push_back(std::move(event));
    if (events_.size() > capacity_)
        events_.pop_front();
    for (const auto& [id, wake] : subscribers_)
        wake();
}

void EventRing::add_instance(std::string_view kind, std::string_view service, std::string_view name,
                             std::string_view owner)
{
    RecordedEvent event(kind, service);
    event.instance = name;
    event.owner = owner;
    add(std::move(event));
}

void EventRing::add_text(std::string_view kind, std::string_view service, std::string_view text)
{
    RecordedEvent event(kind, service);
    event.detail = first_line(text);
    add(std::move(event));
}

void EventRing::listening(std::string_view service, std::string_view address)
{
    add_text("listening", service, address);
}

void EventRing::session_started(std::string_view service, std::uint64_t id, const ClientInfo& client)
{
    RecordedEvent event("session-started", service);
    event.session = id;
    event.client = client.to_string();
    add(std::move(event));
}

void EventRing::session_ended(const SessionSummary& summary)
{
    RecordedEvent event("session-ended", summary.service);
    event.session = summary.id;
    event.client = summary.client.to_string();
    event.owner = summary.owner;
    event.instance = summary.instance;
    event.upstream = summary.upstream;
    event.reason = to_string(summary.end);
    event.detail = first_line(summary.detail);
    add(std::move(event));
}

void EventRing::instance_started(std::string_view service, std::string_view name, std::string_view owner)
{
    add_instance("instance-started", service, name, owner);
}

void EventRing::instance_claimed(std::string_view service, std::string_view name, std::string_view owner)
{
    add_instance("instance-claimed", service, name, owner);
}

void EventRing::instance_adopted(std::string_view service, std::string_view name, std::string_view owner)
{
    add_instance("instance-adopted", service, name, owner);
}

void EventRing::instance_ended(const InstanceSummary& summary)
{
    RecordedEvent event("instance-ended", summary.service);
    event.instance = summary.name;
    event.owner = summary.owner;
    event.reason = to_string(summary.end);
    event.detail = first_line(summary.detail);
    add(std::move(event));
}

void EventRing::warning(std::string_view service, std::string_view text) { add_text("warning", service, text); }

void EventRing::session_warning(std::string_view service, std::uint64_t id, std::string_view text)
{
    RecordedEvent event("warning", service);
    event.session = id;
    event.detail = first_line(text);
    add(std::move(event));
}

void EventRing::notice(std::string_view service, std::string_view text) { add_text("notice", service, text); }

}  // namespace instancer::daemon
