// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include <instancer/client.hpp>
#include <instancer/events.hpp>
#include <instancer/session.hpp>

namespace instancer {

/// Passes all reports on to several observers, in the order in which they were added.
///
/// Lifetime: every observer must outlive what was given a reference to the list.
/// Threads: `add` before anything is reported.
class EventList final : public Events {
public:
    /// Lets `observer` hear everything from now on.
    void add(Events& observer) { observers_.push_back(&observer); }

    void listening(std::string_view service, std::string_view address) override
    {
        tell(&Events::listening, service, address);
    }
    void session_started(std::string_view service, std::uint64_t id, const ClientInfo& client) override
    {
        tell(&Events::session_started, service, id, client);
    }
    void session_joined(std::string_view service, std::uint64_t id, const SessionTimes& times) override
    {
        tell(&Events::session_joined, service, id, times);
    }
    void session_ended(const SessionSummary& summary) override { tell(&Events::session_ended, summary); }
    void instance_started(std::string_view service, std::string_view name, std::string_view owner) override
    {
        tell(&Events::instance_started, service, name, owner);
    }
    void instance_ready(std::string_view service, std::string_view name, std::chrono::nanoseconds took) override
    {
        tell(&Events::instance_ready, service, name, took);
    }
    void instance_claimed(std::string_view service, std::string_view name, std::string_view owner) override
    {
        tell(&Events::instance_claimed, service, name, owner);
    }
    void instance_adopted(std::string_view service, std::string_view name, std::string_view owner) override
    {
        tell(&Events::instance_adopted, service, name, owner);
    }
    void instance_ended(const InstanceSummary& summary) override { tell(&Events::instance_ended, summary); }
    void output(std::string_view service, std::string_view instance, std::string_view line) override
    {
        tell(&Events::output, service, instance, line);
    }
    void proof(std::string_view service, ProofStep step) override { tell(&Events::proof, service, step); }
    void backend_called(std::string_view service, std::string_view call, bool failed) override
    {
        tell(&Events::backend_called, service, call, failed);
    }
    void warning(std::string_view service, std::string_view text) override { tell(&Events::warning, service, text); }
    void session_warning(std::string_view service, std::uint64_t id, std::string_view text) override
    {
        tell(&Events::session_warning, service, id, text);
    }
    void notice(std::string_view service, std::string_view text) override { tell(&Events::notice, service, text); }

private:
    template <class Handler, class... Arguments>
    void tell(Handler handler, const Arguments&... arguments)
    {
        for (auto* observer : observers_)
            (observer->*handler)(arguments...);
    }

    std::vector<Events*> observers_;
};

}  // namespace instancer
