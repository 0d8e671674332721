// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/detail/async_event.hpp>
#include <instancer/detail/connect.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/socket_stream.hpp>

namespace instancer {

/// A group of servers that run already. It is one instance for the pool; which server takes a connection is decided
/// when that is opened: one that refuses is passed over before the client notices.
///
/// Use it with a SharedAuthenticator, and with a pool that keeps its instance (`keeps_instance`).
class UpstreamBackend final : public InstanceBackend {
public:
    /// Lifetime: `events` must outlive the backend.
    UpstreamBackend(asio::any_io_executor control, std::string service, UpstreamOptions options, Events& events)
        : control_(std::move(control)),
          service_(std::move(service)),
          events_(events),
          group_(std::make_shared<Group>(std::move(options)))
    {
    }

    /// A policy under which the group stays for as long as the server runs.
    static PoolOptions keeps_instance()
    {
        PoolOptions pool;
        pool.max_instances = 1;
        pool.idle = pool.idle.zero();
        pool.linger = std::chrono::hours(10 * 365 * 24);
        return pool;
    }

private:
    using Endpoints = std::vector<asio::ip::tcp::endpoint>;

    /// Shared with every connection, which is counted until it is closed.
    struct Group {
        explicit Group(UpstreamOptions given)
            : options(std::move(given)), balancer(options, std::random_device{}()), endpoints(options.upstreams.size())
        {
        }

        const UpstreamOptions options;
        std::mutex mutex;
        Balancer balancer;                 ///< Under `mutex`.
        std::vector<Endpoints> endpoints;  ///< Of each upstream; under `mutex`.
    };

    /// From `start` to `stop`.
    struct Run final : Instance::State {
        explicit Run(const asio::any_io_executor& control) : stopped(control) {}

        detail::AsyncEvent stopped;
    };

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    asio::awaitable<Result<void>> do_prepare() override
    {
        if (group_->options.upstreams.empty())
            co_return fail(Errc::bad_request, "there is no upstream to connect to");
        for (std::size_t i = 0; i < group_->options.upstreams.size(); ++i)
            if (auto found = co_await look_up(group_, i); !found)
                co_return found;
        co_return Result<void>();
    }

    static asio::awaitable<Result<void>> look_up(std::shared_ptr<Group> group, std::size_t index)
    {
        const auto& upstream = group->options.upstreams[index];
        if (upstream.is_unix())
            co_return Result<void>();
        asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
        auto [error, results] =
            co_await resolver.async_resolve(upstream.name(), std::to_string(upstream.port()), detail::as_result);
        if (error)
            co_return fail(Errc::bad_request, "upstream " + upstream.text() + ": " + error.message());
        Endpoints found;
        for (const auto& result : results)
            found.push_back(result.endpoint());
        const std::lock_guard lock(group->mutex);
        group->endpoints[index] = std::move(found);
        co_return Result<void>();
    }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        const auto run = std::make_shared<Run>(control_);
        auto refresh = keep_looking_up(group_, run, service_, events_);
        asio::co_spawn(control_, std::move(refresh), asio::detached);
        co_return Instance("upstreams", run);
    }

    /// Names can come to stand for other addresses. While a look-up fails, the old ones stay.
    static asio::awaitable<void> keep_looking_up(std::shared_ptr<Group> group, std::shared_ptr<Run> run,
                                                 std::string service, Events& events)
    {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        while (!run->stopped.is_set()) {
            timer.expires_after(group->options.resolve_interval);
            using namespace asio::experimental::awaitable_operators;
            co_await (timer.async_wait(detail::as_result) || run->stopped.wait());
            for (std::size_t i = 0; i < group->options.upstreams.size() && !run->stopped.is_set(); ++i)
                if (const auto found = co_await look_up(group, i); !found && !run->stopped.is_set())
                    events.warning(service, found.error().text() + "; its last addresses stay in use");
        }
    }

    asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest request) override
    {
        const auto group = group_;
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        std::vector<std::size_t> order;
        {
            const std::lock_guard lock(group->mutex);
            order = group->balancer.order(source_of(request), Balancer::Clock::now());
        }
        std::string failures;
        for (const auto index : order) {
            auto stream = co_await open_one(group, index);
            if (detail::is_cancelled(cancellation))
                co_return fail(Errc::cancelled);
            note(*group, index, stream.has_value());
            if (stream)
                co_return stream;
            failures += (failures.empty() ? "" : ", ") + stream.error().message();
        }
        co_return fail(Errc::backend_unavailable, "no upstream takes the connection: " + failures);
    }

    /// Clients of one address, whatever their port.
    static std::string source_of(const OpenRequest& request)
    {
        if (!request.client())
            return {};
        if (const auto& peer = request.client()->peer())
            return peer->address().to_string();
        return request.client()->to_string();
    }

    void note(Group& group, std::size_t index, bool worked)
    {
        std::unique_lock lock(group.mutex);
        const bool changed = worked ? group.balancer.succeeded(index)
                                    : group.balancer.failed(index, Balancer::Clock::now());
        lock.unlock();
        const auto name = "upstream " + group.options.upstreams[index].text();
        if (changed && worked)
            events_.notice(service_, name + " takes connections again");
        else if (changed)
            events_.warning(service_, name + " takes no connections; it is tried last from now on");
    }

    static asio::awaitable<Result<Stream>> open_one(std::shared_ptr<Group> group, std::size_t index)
    {
        Endpoints endpoints;
        {
            const std::lock_guard lock(group->mutex);
            group->balancer.begin(index);
            endpoints = group->endpoints[index];
        }
        const std::shared_ptr<void> counted(nullptr, [group, index](void*) {
            const std::lock_guard lock(group->mutex);
            group->balancer.end(index);
        });
        const auto& upstream = group->options.upstreams[index];
        if (upstream.is_unix())
            co_return co_await open_unix(upstream.name(), counted);
        Result<Stream> last = fail(Errc::not_ready, upstream.text() + " has no address");
        for (const auto& endpoint : endpoints) {
            detail::UniqueFd socket(
                ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            if (!socket)
                co_return fail(detail::last_error(), "making a socket");
            last = co_await detail::connect(std::move(socket), endpoint, group->options.connect_timeout, counted);
            if (last)
                break;
        }
        co_return last;
    }

    static asio::awaitable<Result<Stream>> open_unix(std::string path, std::shared_ptr<void> counted)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof address.sun_path)
            co_return fail(Errc::bad_request, "unix:" + path + ": the path is too long");
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        detail::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        // Over a Unix socket a connection is there at once, or not at all.
        if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            co_return fail(detail::last_error(), "connecting to unix:" + path);
        co_return make_socket_stream(co_await asio::this_coro::executor, std::move(socket), std::move(counted));
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
    const std::string service_;
    Events& events_;
    const std::shared_ptr<Group> group_;
};

}  // namespace instancer
