// SPDX-License-Identifier: MIT
// What a service has of the one whose place it takes, and of others that run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <instancer/acceptor/connection_counts.hpp>
#include <instancer/admission/bans.hpp>

#include "reload/service_instances.hpp"

namespace instancer::daemon {

/// What services of one name have in common, one after the other.
class ServiceMemory {
public:
    /// The number of the last session.
    const std::shared_ptr<std::uint64_t>& session_count() const noexcept { return session_count_; }

    /// Of the connections that are limited.
    const std::shared_ptr<ConnectionCounts>& connections() const noexcept { return connections_; }

    /// Those whom the service bans from now on. With `adopt` they are also those whom its predecessor bans.
    void keep_bans(const std::shared_ptr<Bans>& bans, bool adopt)
    {
        if (const auto before = bans_.lock(); before && adopt)
            bans->replace(before->remembered());
        bans_ = bans;
    }

private:
    std::shared_ptr<std::uint64_t> session_count_ = std::make_shared<std::uint64_t>(0);
    std::shared_ptr<ConnectionCounts> connections_ = std::make_shared<ConnectionCounts>();
    std::weak_ptr<Bans> bans_;
};

/// Tells the service that is being prepared what there is already.
///
/// Threads: the control executor.
class Succession {
public:
    Succession() = default;

    ServiceMemory& memory_of(const std::string& service) { return memories_[service]; }

    /// The next service to be prepared takes over `instances`, if not null. `restarts`: they are started otherwise.
    void prepare_with(std::shared_ptr<ServiceInstances> instances, bool restarts)
    {
        instances_ = std::move(instances);
        restarts_ = restarts;
    }

    const std::shared_ptr<ServiceInstances>& instances() const noexcept { return instances_; }
    bool restarts() const noexcept { return restarts_; }

    /// The names of services that run: what they have started is theirs.
    void set_running(std::set<std::string> services) { running_ = std::move(services); }
    const std::set<std::string>& running() const noexcept { return running_; }

private:
    std::map<std::string, ServiceMemory> memories_;
    std::shared_ptr<ServiceInstances> instances_;
    bool restarts_ = true;
    std::set<std::string> running_;
};

}  // namespace instancer::daemon
