// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/events.hpp>

namespace instancer::daemon {

/// Something that happened. What does not concern it is empty.
class RecordedEvent {
public:
    std::uint64_t id = 0;  ///< Counts from 1.
    std::chrono::system_clock::time_point time;
    std::string_view kind;  ///< `session-ended`, say.
    std::string service, instance, owner, client, upstream;
    std::uint64_t session = 0;
    std::string reason;  ///< One of a few words.
    std::string detail;  ///< A line for people.

    explicit RecordedEvent(std::string_view what, std::string_view of_service)
        : time(std::chrono::system_clock::now()), kind(what), service(of_service)
    {
    }
};

/// Remembers what happened last. What instances write is not remembered: it can hold secrets.
///
/// Threads: any.
class EventRing final : public Events {
public:
    /// Keeps `capacity` events, the latest.
    explicit EventRing(std::size_t capacity) : capacity_(capacity) {}

    /// The oldest events after that number, `most` of them at most.
    std::vector<RecordedEvent> after(std::uint64_t id, std::size_t most) const;

    /// The number of the latest event; 0 before the first.
    std::uint64_t last_id() const;

    /// Calls `wake`, which must not wait, on any thread whenever an event comes, until `unsubscribe` with the result
    /// has returned.
    std::uint64_t subscribe(std::function<void()> wake);
    void unsubscribe(std::uint64_t subscription);

    void listening(std::string_view service, std::string_view address) override;
    void session_started(std::string_view service, std::uint64_t id, const ClientInfo& client) override;
    void session_ended(const SessionSummary& summary) override;
    void instance_started(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_claimed(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_adopted(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_ended(const InstanceSummary& summary) override;
    void warning(std::string_view service, std::string_view text) override;
    void session_warning(std::string_view service, std::uint64_t id, std::string_view text) override;
    void notice(std::string_view service, std::string_view text) override;

private:
    void add(RecordedEvent event);
    void add_instance(std::string_view kind, std::string_view service, std::string_view name, std::string_view owner);
    void add_text(std::string_view kind, std::string_view service, std::string_view text);

    const std::size_t capacity_;
    mutable std::mutex mutex_;  ///< Guards what follows.
    std::deque<RecordedEvent> events_;
    std::uint64_t last_id_ = 0;
    std::map<std::uint64_t, std::function<void()>> subscribers_;
    std::uint64_t last_subscription_ = 0;
};

}  // namespace instancer::daemon
