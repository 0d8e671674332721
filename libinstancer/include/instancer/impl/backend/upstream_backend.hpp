// SPDX-License-Identifier: MIT
#pragma once

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/backend/upstream_backend.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

INSTANCER_DECL UpstreamBackend::UpstreamBackend(asio::any_io_executor control, std::string service,
                                                UpstreamOptions options, Events& events)
    : group_(
          std::make_shared<detail::UpstreamGroup>(std::move(control), std::move(service), std::move(options), events)),
      upkeep_(std::make_shared<detail::UpstreamUpkeep>(group_))
{
    group_->reconsider = [weak = std::weak_ptr(upkeep_)] {
        if (const auto upkeep = weak.lock())
            upkeep->reconsider();
    };
    group_->tell_places = [weak = std::weak_ptr(upkeep_)] {
        if (const auto upkeep = weak.lock())
            upkeep->tell_places();
    };
}

INSTANCER_DECL asio::awaitable<Result<void>> UpstreamBackend::set_upstreams(std::vector<Upstream> upstreams)
{
    return detail::UpstreamUpkeep::replace(upkeep_, std::move(upstreams));
}

INSTANCER_DECL bool UpstreamBackend::drain(std::string_view name, bool drained)
{
    {
        const std::lock_guard lock(group_->mutex);
        if (!group_->balancer.drain(name, drained, group_->now()))
            return false;
    }
    upkeep_->reconsider();
    return true;
}

INSTANCER_DECL asio::awaitable<Result<void>> UpstreamBackend::do_prepare()
{
    return detail::UpstreamUpkeep::prepare(upkeep_);
}

INSTANCER_DECL asio::awaitable<Result<Instance>> UpstreamBackend::do_start(InstanceRequest)
{
    co_return Instance("upstreams", std::make_shared<Run>(group_->control));
}

INSTANCER_DECL asio::awaitable<Result<Stream>> UpstreamBackend::do_open(Instance, OpenRequest request)
{
    const auto group = group_;
    const auto executor = co_await asio::this_coro::executor;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const auto connection = std::make_shared<Connection>(group, source_of(request));
    std::string failures;
    Connection::ServedPtr served;
    for (auto turn = connection->take(executor, served, request.on_queue());;
         turn = connection->take_another(executor, served, request.on_queue())) {
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
        auto stream = co_await detail::connect_upstream(group, member, group->options.connect_timeout, std::move(peer),
                                                        request.stream());
        if (is_cancelled(cancellation))
            co_return fail(Errc::cancelled);
        if (stream && group->options.send_proxy)
            stream = co_await detail::introduced(group, std::move(*stream), request.client().value_or(ClientInfo()));
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

INSTANCER_DECL std::uint64_t UpstreamBackend::source_of(const OpenRequest& request)
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

INSTANCER_DECL asio::awaitable<Result<void>>
UpstreamBackend::wait_for_room(const detail::UpstreamGroup& group, Connection::ServedPtr served, Stream* client)
{
    const auto limit = group.options.queue_timeout;
    asio::steady_timer deadline(co_await asio::this_coro::executor, Balancer::TimePoint::max());
    if (limit > limit.zero())
        deadline.expires_after(limit);
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (served->wait() || deadline.async_wait(as_result) || leaving(client));
    if (first.index() == 0 && std::get<0>(first))
        co_return Result<void>();
    if (first.index() == 1)
        co_return fail(Errc::queue_timeout, "no upstream had room for another connection in time");
    co_return fail(Errc::cancelled, "the client left");
}

INSTANCER_DECL asio::awaitable<void> UpstreamBackend::leaving(Stream* client)
{
    asio::steady_timer never(co_await asio::this_coro::executor, Balancer::TimePoint::max());
    if (client)
        co_await client->wait(Readiness::gone);
    else
        co_await never.async_wait(as_result);
}

INSTANCER_DECL asio::awaitable<InstanceExit> UpstreamBackend::do_wait(Instance instance)
{
    const auto run = instance.shared_state<Run>();
    co_await run->stopped.wait();
    co_return InstanceExit("stopped");
}

INSTANCER_DECL asio::awaitable<Result<void>> UpstreamBackend::do_stop(Instance instance)
{
    instance.state<Run>().stopped.set();
    co_return Result<void>();
}

}  // namespace instancer
