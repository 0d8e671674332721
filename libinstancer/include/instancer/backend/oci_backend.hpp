// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/backend/oci_options.hpp>
#include <instancer/events.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Starts each instance as a container, by a container runtime such as crun, without an engine.
///
/// Without root, containers are in user namespaces, and their programs are this process's user to the host.
///
/// A container has no network but its own loopback; connections to a port of it are made from inside. Its first
/// process is instancer-init, which ends all that runs in it when this process goes, however that ends. `prepare`
/// removes what a run with the same names left behind; no instance of it is taken over.
///
/// Lifetime: no instance may be left when it is destroyed; InstancePool sees to that.
/// Threads: all blocking work is done on threads of its own.
class OciBackend final : public InstanceBackend {
public:
    /// Lifetime: `events` must outlive the backend.
    OciBackend(asio::any_io_executor control, std::string service, OciOptions options, Events& events);
    ~OciBackend() override;

    /// Whether this process can start containers on this host: with a runtime, and as root or in user namespaces.
    ///
    /// Time: runs the runtime once, to learn what it is.
    /// Errors: Errc::bad_request, with the remedy.
    /// Threads: any.
    static Result<void> check_host(const OciOptions& options);

    /// Whether the image has what the options leave to it: a command whose program it has, a port, a
    /// user. Starts nothing, and does not look at what is mounted.
    ///
    /// Time: reads two files of the image.
    /// Errors: Errc::bad_request, with the remedy; what the system reports.
    /// Threads: any.
    static Result<void> check_image(const OciOptions& options);

private:
    class Impl;

    BackendTraits do_traits() const override;
    asio::awaitable<Result<void>> do_prepare() override;
    void do_interrupt() override;
    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;
    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest request) override;
    asio::awaitable<InstanceExit> do_wait(Instance instance) override;
    asio::awaitable<Result<void>> do_stop(Instance instance) override;
    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override;
    asio::awaitable<std::string> do_diagnose(Instance instance) override;

    std::unique_ptr<Impl> impl_;
};

}  // namespace instancer
