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

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/upstream/upstream_connect.hpp>
#include <instancer/detail/upstream/upstream_group.hpp>
#include <instancer/detail/upstream/upstream_upkeep.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/pool_options.hpp>

namespace instancer {

/// A group of servers that run already. It is one instance for the pool; which server takes a connection is decided
/// when that is opened: one that refuses is passed over before the client notices. A name that cannot be looked up
/// counts as a server that is down, and is looked up again.
///
/// Use it with a SharedAuthenticator, and with a pool that keeps its instance (`default_pool_options`).
class UpstreamBackend final : public InstanceBackend {
public:
    /// Lifetime: `events` must outlive the backend.
    UpstreamBackend(asio::any_io_executor control, std::string service, UpstreamOptions options, Events& events)
        : group_(std::make_shared<detail::UpstreamGroup>(std::move(control), std::move(service), std::move(options),
                                                         events)),
          upkeep_(std::make_shared<detail::UpstreamUpkeep>(group_))
    {
        group_->reconsider = [weak = std::weak_ptr(upkeep_)] {
            if (const auto upkeep = weak.lock())
                upkeep->reconsider();
        };
    }
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
    asio::awaitable<Result<void>> set_upstreams(std::vector<Upstream> upstreams)
    {
        return detail::UpstreamUpkeep::replace(upkeep_, std::move(upstreams));
    }

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

        detail::AsyncEvent stopped;
    };

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    asio::awaitable<Result<void>> do_prepare() override { return detail::UpstreamUpkeep::prepare(upkeep_); }

    void do_interrupt() override { upkeep_->stop(); }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        co_return Instance("upstreams", std::make_shared<Run>(group_->control));
    }

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest request) override
    {
        const auto group = group_;
        const auto executor = co_await asio::this_coro::executor;
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        const auto connection = std::make_shared<Connection>(group, source_of(request));
        std::string failures;
        Connection::ServedPtr served;
        for (auto turn = connection->take(executor, served);; turn = connection->take_another(executor, served)) {
            if (turn == Selection::full)
                co_return fail(Errc::full, "every upstream has its maximum of connections, and too many clients wait");
            if (turn == Selection::wait)
                if (const auto room = co_await wait_for_room(*group, served, request.stream()); !room)
                    co_return fail(room.error());
            const auto member = connection->member();
            if (!member)
                break;
            // The stream tells its name, and keeps the connection counted.
            std::shared_ptr<const std::string> peer(connection, &member->name);
            auto stream = co_await detail::connect_upstream(group, member, group->options.connect_timeout,
                                                            std::move(peer), request.stream());
            if (detail::is_cancelled(cancellation))
                co_return fail(Errc::cancelled);
            if (stream && group->options.send_proxy)
                stream =
                    co_await detail::introduced(group, std::move(*stream), request.client().value_or(ClientInfo()));
            if (stream) {
                connection->note_success();
                co_return stream;
            }
            if (stream.error() == Errc::cancelled || detail::is_want_of_ours(stream.error()))
                co_return stream;
            failures += (failures.empty() ? ": " : ", ") + stream.error().message();
        }
        co_return fail(Errc::backend_unavailable,
                       failures.empty() ? "no upstream is up" : "no upstream takes the connection" + failures);
    }

    /// The same for clients of one address, whatever their port.
    static std::uint64_t source_of(const OpenRequest& request)
    {
        const auto hash = [](const auto& bytes) {
            return Balancer::hash_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        };
        if (!request.client())
            return 0;
        const auto& peer = request.client()->peer();
        if (!peer)
            return request.client()->uid().value_or(0);
        const auto address = peer->address();
        return address.is_v4() ? hash(address.to_v4().to_bytes()) : hash(address.to_v6().to_bytes());
    }

    static asio::awaitable<Result<void>> wait_for_room(const detail::UpstreamGroup& group, Connection::ServedPtr served,
                                                       Stream* client)
    {
        const auto limit = group.options.queue_timeout;
        asio::steady_timer deadline(co_await asio::this_coro::executor, Balancer::TimePoint::max());
        if (limit > limit.zero())
            deadline.expires_after(limit);
        using namespace asio::experimental::awaitable_operators;
        const auto first = co_await (served->wait() || deadline.async_wait(detail::as_result) || leaving(client));
        if (first.index() == 0 && std::get<0>(first))
            co_return Result<void>();
        if (first.index() == 1)
            co_return fail(Errc::queue_timeout, "no upstream had room for another connection in time");
        co_return fail(Errc::cancelled, "the client left");
    }

    static asio::awaitable<void> leaving(Stream* client)
    {
        asio::steady_timer never(co_await asio::this_coro::executor, Balancer::TimePoint::max());
        if (client)
            co_await client->wait(Readiness::gone);
        else
            co_await never.async_wait(detail::as_result);
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

    const detail::UpstreamGroupPtr group_;
    const detail::UpstreamUpkeep::Ptr upkeep_;
};

}  // namespace instancer
