// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/async/async_event.hpp>
#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/detail/upstream/upstream_connect.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>
#include <instancer/detail/upstream/upstream_upkeep.hpp>
#include <instancer/events.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// A group of servers that run already. It is one instance for the pool; which server takes a connection is decided
/// when that is opened: one that refuses is passed over before the client notices. A name that cannot be looked up
/// counts as a server that is down, and is looked up again.
///
/// Use it with a SharedAuthenticator, and with a pool that keeps its instance (`default_pool_options`).
class UpstreamBackend final : public InstanceBackend {
public:
    /// Lifetime: `events` must outlive the backend.
    UpstreamBackend(asio::any_io_executor control, std::string service, UpstreamOptions options, Events& events);
    ~UpstreamBackend() override { upkeep_->stop(); }

    /// A policy under which the group stays for as long as the server runs.
    static PoolOptions default_pool_options()
    {
        PoolOptions pool;
        pool.max_instances = 1;
        pool.idle = pool.idle.zero();
        pool.linger = std::chrono::hours(10 * 365 * 24);
        return pool;
    }

    /// `listener` hears, on the control executor, false when no upstream works any more, and true when one does again.
    /// At first they are taken to work. Call it before the server runs.
    void on_available(std::function<void(bool)> listener) { upkeep_->on_available(std::move(listener)); }

    /// Takes another list, without two of the same name. Names that are new are looked up first. An upstream that stays
    /// is still known for what it was; one that is missing gets no more connections.
    ///
    /// Time: a few seconds at most; a name that takes longer is down until it is found.
    /// Cancellation: none.
    /// Errors: an empty list; Errc::cancelled when a later list was taken meanwhile; Errc::stopping. The list stays as
    /// it was then.
    /// Threads: the control executor.
    asio::awaitable<Result<void>> set_upstreams(std::vector<Upstream> upstreams);

    /// Gives the upstream that `snapshot` lists as `name` no more connections, or gives it some again; no later list
    /// changes that. False when there is none.
    ///
    /// Threads: the control executor.
    bool drain(std::string_view name, bool drained);

    /// Every upstream; those that are in the list no more and have connections come last.
    ///
    /// Threads: any.
    std::vector<UpstreamStatus> snapshot() const
    {
        const std::lock_guard lock(group_->mutex);
        return group_->balancer.snapshot(group_->now());
    }

    /// How many clients wait because each upstream has its maximum of connections.
    ///
    /// Threads: any.
    std::size_t waiting() const
    {
        const std::lock_guard lock(group_->mutex);
        return group_->balancer.waiting();
    }

private:
    using Selection = Balancer::Selection;
    using Connection = detail::UpstreamConnection;

    /// From `start` to `stop`.
    struct Run final : Instance::State {
        explicit Run(const asio::any_io_executor& control) : stopped(control) {}

        AsyncEvent stopped;
    };

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    asio::awaitable<Result<void>> do_prepare() override;

    void do_interrupt() override { upkeep_->stop(); }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override;

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest request) override;

    /// The same for clients of one address, whatever their port.
    static std::uint64_t source_of(const OpenRequest& request);

    static asio::awaitable<Result<void>> wait_for_room(const detail::UpstreamGroup& group, Connection::ServedPtr served,
                                                       Stream* client);

    static asio::awaitable<void> leaving(Stream* client);

    asio::awaitable<InstanceExit> do_wait(Instance instance) override;

    asio::awaitable<Result<void>> do_stop(Instance instance) override;

    const detail::UpstreamGroupPtr group_;
    const detail::UpstreamUpkeep::Ptr upkeep_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/upstream_backend.hpp>
#endif
