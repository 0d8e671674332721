// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Starts each instance as a container of a Docker engine on this host.
///
/// By default a container has no network at all, and connections to it are made from inside its network namespace.
/// That takes CAP_SYS_ADMIN and a runtime that uses the host's kernel; else, and for egress, the containers get a
/// bridge network of their own, in which none reaches another, and the host is closed to them by a firewall rule.
///
/// A daemon's name belongs to one process at an engine: the first that prepares claims it, by a container of its own.
/// A container can be found again after a crash by its name and labels; `recover` takes it over or removes it.
/// A container that could not be removed while the engine was away is removed when it is back.
///
/// Lifetime: destroy it on the control executor or when that no longer runs, and before that is destroyed, with no
/// call outstanding but `wait`. That blocks nobody: what remains to be done at the engine is done on a thread which the
/// end of the process waits for, a few seconds at most. Containers that were not stopped go on running.
/// Threads: all blocking work is done on threads of its own.
class DockerBackend final : public InstanceBackend {
public:
    /// Lifetime: `events` must outlive the backend.
    DockerBackend(asio::any_io_executor control, std::string service, DockerOptions options, Events& events);
    ~DockerBackend() override;

private:
    class Impl;

    BackendTraits do_traits() const override;
    asio::awaitable<Result<void>> do_prepare() override;
    void do_interrupt() override;
    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;
    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest request) override;
    asio::awaitable<InstanceExit> do_wait(Instance instance) override;
    asio::awaitable<Result<void>> do_stop(Instance instance) override;
    asio::awaitable<Result<void>> do_assign(Instance instance, Identity identity) override;
    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override;
    asio::awaitable<Result<void>> do_note_extension(Instance instance, std::chrono::seconds total) override;
    asio::awaitable<Result<std::vector<OrphanInstance>>> do_recover(std::string service) override;
    asio::awaitable<std::string> do_diagnose(Instance instance) override;

    std::shared_ptr<Impl> impl_;
};

}  // namespace instancer
