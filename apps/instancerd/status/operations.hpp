// SPDX-License-Identifier: MIT
// What operators ask the services and tell them. All views of a running daemon are made of this.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/admission/ban_list.hpp>
#include <instancer/admission/stage_places.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/session.hpp>

#include "daemon/service_list.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// One service as it is now.
class ServiceStatus {
public:
    std::string name;
    std::string mode;
    std::string state;  ///< `starting`, `serving`, `paused` or `ending`.
    std::vector<std::string> listeners;
    std::string condition;  ///< Of the other end on which it depends, in words; empty where there is none.
    std::vector<StagePlaces> places;
    std::size_t sessions = 0;
    std::size_t instances = 0;
    std::size_t queued = 0;         ///< Clients that wait for room, and starts for clients that wait for their turn.
    std::size_t max_instances = 0;  ///< 0: there is no limit.
    std::vector<std::pair<std::string, std::string>> options;  ///< In force, as they are written; no secrets.

    ServiceStatus() = default;
};

class InstanceStatus : public InstanceInfo {
public:
    InstanceStatus(std::string of_service, InstanceInfo info)
        : InstanceInfo(std::move(info)), service(std::move(of_service))
    {
    }

    std::string service;
};

class SessionList {
public:
    std::vector<SessionStatus> sessions;
    std::size_t unanswered = 0;  ///< Sessions whose worker did not answer in time.

    SessionList() = default;
};

class ServiceBan : public Ban {
public:
    ServiceBan(std::string of_service, Ban ban) : Ban(std::move(ban)), service(std::move(of_service)) {}

    std::string service;
};

class ServiceUpstream : public UpstreamStatus {
public:
    ServiceUpstream(std::string of_service, UpstreamStatus status)
        : UpstreamStatus(std::move(status)), service(std::move(of_service))
    {
    }

    std::string service;
};

/// What came of an order.
class Outcome {
public:
    enum class Kind { done, no_such, refused };

    static Outcome done() { return {Kind::done, {}}; }
    static Outcome no_such(std::string text) { return {Kind::no_such, std::move(text)}; }
    static Outcome refused(std::string text) { return {Kind::refused, std::move(text)}; }

    Kind kind;
    std::string text;  ///< Why nothing was done, for people.

private:
    Outcome(Kind what, std::string why) : kind(what), text(std::move(why)) {}
};

/// Asks the services and gives them orders. Instances and sessions are known by the name that the log gives their
/// service, and their number.
///
/// Threads: the control executor of the workers.
class Operations {
public:
    using Duration = std::chrono::steady_clock::duration;

    /// An answer leaves out workers that take longer than `patience`.
    Operations(ServiceList& services, const asio::any_io_executor& control, Log& log, Duration patience)
        : services_(services), control_(control), log_(log), patience_(patience)
    {
    }

    /// Whether there is a service of that name, or a part of one.
    bool knows(const std::string& service) const;

    asio::awaitable<std::vector<ServiceStatus>> services() const;
    asio::awaitable<SessionList> sessions() const;
    std::vector<InstanceStatus> instances() const;
    std::vector<ServiceUpstream> upstreams() const;
    std::vector<ServiceBan> bans() const;

    /// Its sessions end, and clients that wait for its start are refused.
    Outcome stop_instance(const std::string& service, std::uint64_t id);

    /// No time limit ends it that long from now.
    Outcome extend_instance(const std::string& service, std::uint64_t id, Duration duration);

    /// Stops all instances of an owner, which is known by its hash.
    Outcome reset_owner(const std::string& service, const std::string& owner);

    Outcome end_session(const std::string& service, std::uint64_t id);

    /// Gives an upstream no more connections, or gives it some again.
    Outcome drain_upstream(const std::string& service, const std::string& upstream, bool drained);

    Outcome ban(const std::string& service, const std::string& network, std::chrono::seconds duration,
                const std::string& reason);
    Outcome unban(const std::string& service, const std::string& network);

    /// Has the system refuse clients, or takes them in again.
    Outcome pause(const std::string& service, bool paused);

private:
    using ServicePtr = std::shared_ptr<RunningService>;

    /// Calls `order` with each service of that name, one of which may be about to take the place of another; done if
    /// one has obeyed it.
    Outcome with_service(const std::string& name, const std::function<Outcome(RunningService&)>& order) const;

    /// Calls `order` with each part of that name until one can obey it.
    Outcome with_part(const std::string& name, const std::function<Outcome(ServicePart&)>& order) const;

    ServiceStatus status_of(RunningService& service, ServiceList::State state) const;

    /// Empty where it takes longer than `patience`.
    asio::awaitable<std::string> condition_of(ServicePtr service) const;

    ServiceList& services_;
    const asio::any_io_executor control_;
    Log& log_;
    const Duration patience_;
};

}  // namespace instancer::daemon
