// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <instancer/async/async_event.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/tunnel/tunnel_server.hpp>

namespace instancer {

/// One target behind the agent of a TunnelServer. It is one instance for the pool, which must keep it
/// (`UpstreamBackend::default_pool_options`); each connection is a session of the link.
///
/// Several backends may share a server.
class TunnelBackend final : public InstanceBackend {
public:
    /// Lifetime: `server` must outlive the backend.
    TunnelBackend(asio::any_io_executor control, TunnelServer& server, TunnelAddress target)
        : control_(std::move(control)), server_(server), target_(target)
    {
    }

private:
    /// From `start` to `stop`.
    struct Run final : Instance::State {
        explicit Run(const asio::any_io_executor& control) : stopped(control) {}

        AsyncEvent stopped;
    };

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    asio::any_io_executor do_preferred_executor(const Instance&) const override { return server_.get_executor(); }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        co_return Instance(target_.to_string(), std::make_shared<Run>(control_));
    }

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest request) override
    {
        const auto client = request.client().value_or(ClientInfo());
        co_return co_await server_.open(target_, client, request.stream());
    }

    asio::awaitable<InstanceExit> do_wait(Instance instance) override
    {
        const auto run = instance.shared_state<Run>();
        co_await run->stopped.wait();
        co_return InstanceExit("stopped");
    }

    asio::awaitable<Result<void>> do_stop(Instance instance) override
    {
        instance.state<Run>().stopped.set();
        co_return Result<void>();
    }

    const asio::any_io_executor control_;
    TunnelServer& server_;
    const TunnelAddress target_;
};

}  // namespace instancer
