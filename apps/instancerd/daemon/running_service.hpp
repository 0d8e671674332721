// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/result.hpp>

#include "config/settings.hpp"
#include "metrics/service_gauges.hpp"

namespace instancer {

class InstancePool;
class Server;
class UpstreamBackend;

}  // namespace instancer

namespace instancer::daemon {

class BanKeeper;

/// A server that belongs to a service, for questions and orders.
class ServicePart {
public:
    ServicePart(std::string part_name, Server& of_clients, InstancePool* of_instances)
        : name(std::move(part_name)), server(of_clients), pool(of_instances)
    {
    }

    std::string name;  ///< As its sessions and instances are logged.
    Server& server;
    InstancePool* pool;  ///< None where its instances mean nothing to an operator.
};

/// The settings of one service, with those of the daemon that they came with. They never change, and stay for as long
/// as any copy of this: a configuration that is read later has settings of its own.
class OwnedSettings {
public:
    OwnedSettings(std::shared_ptr<const Settings> daemon, std::size_t index)
        : daemon_(std::move(daemon)), service_(&daemon_->services[index])
    {
    }

    const Settings& daemon() const noexcept { return *daemon_; }
    const ServiceSettings& service() const noexcept { return *service_; }

private:
    std::shared_ptr<const Settings> daemon_;
    const ServiceSettings* service_;
};

class ServiceInstances;

/// A service of the daemon, and what signals do to it. It is made with its files read and its addresses bound; what
/// can fail only with time, such as to reach an engine and to pull an image, is the beginning of `run`.
///
/// Lifetime: it may be destroyed once `run` has completed, and what was posted to the workers until then has run.
/// Threads: the control executor of the workers.
class RunningService {
public:
    explicit RunningService(OwnedSettings settings) : own_(std::move(settings)) {}
    RunningService(const RunningService&) = delete;
    RunningService& operator=(const RunningService&) = delete;
    virtual ~RunningService() = default;

    /// Serves until drained or stopped. Calls `serving` once, when it does; not if its preparations fail.
    virtual asio::awaitable<Result<void>> run(std::function<void()> serving) = 0;

    /// Takes no more clients in and lets those that there are finish, for as long as the settings say.
    virtual void drain() = 0;
    virtual void stop() = 0;

    /// Leaves clients that come from now on to the service that takes its place, and ends when its own sessions have.
    void retire()
    {
        former_ = true;
        do_retire();
    }

    /// Another service has taken its place, and it has sessions yet.
    bool is_former() const noexcept { return former_; }

    /// The instances that a service that takes its place has as well; none where it has no such.
    virtual std::shared_ptr<ServiceInstances> instances() const { return nullptr; }

    /// Reads its files again, on a thread of `reader`. What cannot be used leaves things as they are.
    ///
    /// Concurrency: one call at a time.
    virtual asio::awaitable<void> reload(HelperThreads& reader) = 0;

    /// Its servers; none where it has no clients.
    virtual std::vector<ServicePart> parts() { return {}; }

    /// Where its connections go; null where it does not choose among servers.
    virtual UpstreamBackend* upstreams() { return nullptr; }

    /// Null where nobody is banned.
    virtual BanKeeper* bans() { return nullptr; }

    /// How the other end is on which it depends, in words; empty where there is none.
    virtual asio::awaitable<std::string> condition();

    /// Has the system refuse clients until `resume`. Sessions go on.
    virtual void pause();
    virtual void resume();
    bool is_paused() const noexcept { return paused_; }

    /// What it measures of itself now.
    virtual ServiceGauges gauges() const { return {}; }

    const OwnedSettings& settings() const noexcept { return own_; }
    const std::string& name() const noexcept { return own_.service().name; }

private:
    virtual void do_retire() { drain(); }

    const OwnedSettings own_;
    bool paused_ = false;
    bool former_ = false;
};

}  // namespace instancer::daemon
