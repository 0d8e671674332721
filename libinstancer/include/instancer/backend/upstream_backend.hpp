// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/backend/balancer.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/detail/async_event.hpp>
#include <instancer/detail/connect.hpp>
#include <instancer/detail/one_shot.hpp>
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
        : group_(std::make_shared<Group>(std::move(control), std::move(service), std::move(options), events)),
          upkeep_(std::make_shared<Upkeep>(group_))
    {
        group_->upkeep = upkeep_;
    }
    ~UpstreamBackend() override { upkeep_->stop(); }

    /// A policy under which the group stays for as long as the server runs.
    static PoolOptions keeps_instance()
    {
        PoolOptions pool;
        pool.max_instances = 1;
        pool.idle = pool.idle.zero();
        pool.linger = std::chrono::hours(10 * 365 * 24);
        return pool;
    }

    /// `listener` hears, on the control executor, false when no upstream works any more, and true when one does again.
    /// At first they are taken to work. Call it before the server runs.
    void on_available(std::function<void(bool)> listener) { upkeep_->on_available = std::move(listener); }

    /// Takes another list, without two of the same name. Names that are new are looked up first. An upstream that stays
    /// is still known for what it was; one that is missing gets no more connections.
    ///
    /// Cancellation: none.
    /// Errors: an empty list, a name that cannot be looked up; Errc::cancelled when a later list was taken meanwhile;
    /// Errc::stopping. The list stays as it was then.
    /// Threads: the control executor.
    asio::awaitable<Result<void>> set_upstreams(std::vector<Upstream> upstreams)
    {
        return replace(upkeep_, std::move(upstreams));
    }

    /// Every upstream; those that are in the list no more and have connections come last.
    ///
    /// Threads: any.
    std::vector<UpstreamStatus> snapshot() const
    {
        const std::lock_guard lock(group_->mutex);
        return group_->balancer.snapshot(now());
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
    using MemberPtr = Balancer::MemberPtr;
    using Turn = Balancer::Turn;
    using EndpointsPtr = std::shared_ptr<const Balancer::Endpoints>;

    static Balancer::TimePoint now() { return std::chrono::steady_clock::now(); }

    class Upkeep;

    /// Shared with every connection.
    struct Group {
        Group(asio::any_io_executor on, std::string name, UpstreamOptions given, Events& observer)
            : control(std::move(on)),
              service(std::move(name)),
              options(std::move(given)),
              events(observer),
              balancer(options, std::random_device{}())
        {
        }

        std::vector<MemberPtr> members()
        {
            const std::lock_guard lock(mutex);
            return balancer.members();
        }

        const asio::any_io_executor control;
        const std::string service;
        const UpstreamOptions options;
        Events& events;
        std::weak_ptr<Upkeep> upkeep;  ///< Set once, before the first connection.
        std::mutex mutex;
        Balancer balancer;  ///< Under `mutex`.
    };
    using GroupPtr = std::shared_ptr<Group>;

    /// What goes on beside the connections, on the control executor.
    class Upkeep : public std::enable_shared_from_this<Upkeep> {
    public:
        explicit Upkeep(GroupPtr of) : group(std::move(of)), stopped(group->control), change_(group->control) {}

        void stop()
        {
            stopped.set();
            change_.cancel();
        }

        /// What changed may let clients go on that wait, or decide whether any upstream works.
        void reconsider()
        {
            if (stopped.is_set())
                return;
            std::optional<Balancer::TimePoint> next;
            const bool before = available_;
            {
                const std::lock_guard lock(group->mutex);
                group->balancer.serve(now());
                available_ = group->balancer.available(now());
                if (!available_ || group->balancer.waiting() > 0)
                    next = group->balancer.next_change(now());
            }
            if (next) {
                change_.expires_at(*next);
                change_.async_wait([self = this->shared_from_this()](const asio::error_code& error) {
                    if (!error)
                        self->reconsider();
                });
            }
            if (available_ != before && on_available)
                on_available(available_);
        }

        asio::awaitable<void> pause(std::chrono::milliseconds duration)
        {
            asio::steady_timer timer(group->control, duration);
            using namespace asio::experimental::awaitable_operators;
            co_await (timer.async_wait(detail::as_result) || stopped.wait());
        }

        const GroupPtr group;
        detail::AsyncEvent stopped;
        std::function<void(bool)> on_available;
        bool prepared = false;
        std::uint64_t lists = 0;   ///< How many have been asked for.
        std::uint64_t latest = 0;  ///< The number of the one that was taken last.
        std::unordered_set<const Balancer::Member*> checking;
        std::minstd_rand jitter{std::random_device{}()};

    private:
        asio::steady_timer change_;
        bool available_ = true;
    };
    using UpkeepPtr = std::shared_ptr<Upkeep>;

    /// From any thread.
    static void reconsider_soon(const Group& group)
    {
        asio::post(group.control, [weak = group.upkeep] {
            if (const auto upkeep = weak.lock())
                upkeep->reconsider();
        });
    }

    /// Tells a connection that it need not wait any more.
    using ServedPtr = std::shared_ptr<detail::OneShot<bool>>;

    /// Counts until it is destroyed.
    class Connection {
    public:
        Connection(GroupPtr group, std::uint64_t source) : attempt(source), group_(std::move(group)) {}
        ~Connection()
        {
            const std::lock_guard lock(group_->mutex);
            group_->balancer.release(attempt, now());
        }

        /// The first turn. `served` is there when it is to wait.
        Turn take(const asio::any_io_executor& executor, ServedPtr& served)
        {
            const std::lock_guard lock(group_->mutex);
            return take_locked(executor, served);
        }

        /// The next turn, after a failure.
        Turn take_another(const asio::any_io_executor& executor, ServedPtr& served)
        {
            const auto name = attempt.member()->name;
            std::unique_lock lock(group_->mutex);
            const bool is_new = group_->balancer.failed(attempt, now());
            const auto turn = take_locked(executor, served);
            // Only then can it have become the end of something, and who waits may have room where it has rested.
            const bool concerns = !group_->balancer.available(now()) || group_->balancer.waiting() > 0;
            lock.unlock();
            if (is_new)
                group_->events.warning(group_->service,
                                       "upstream " + name + " takes no connections; it is tried last from now on");
            if (concerns)
                reconsider_soon(*group_);
            return turn;
        }

        void note_success()
        {
            if (!attempt.matters())
                return;
            std::unique_lock lock(group_->mutex);
            const bool rested = group_->balancer.succeeded(attempt, now());
            lock.unlock();
            if (!rested)
                return;
            group_->events.notice(group_->service, "upstream " + attempt.member()->name + " takes connections again");
            reconsider_soon(*group_);
        }

        Balancer::Attempt attempt;

    private:
        Turn take_locked(const asio::any_io_executor& executor, ServedPtr& served)
        {
            const auto turn = group_->balancer.take(attempt, now());
            if (turn != Turn::wait)
                return turn;
            served = std::make_shared<detail::OneShot<bool>>(executor);
            attempt.on_served([served] { served->complete(true); });
            if (group_->balancer.next_change(now()))
                reconsider_soon(*group_);
            return turn;
        }

        GroupPtr group_;
    };
    using ConnectionPtr = std::shared_ptr<Connection>;

    /// From `start` to `stop`.
    struct Run final : Instance::State {
        explicit Run(const asio::any_io_executor& control) : stopped(control) {}

        detail::AsyncEvent stopped;
    };

    BackendTraits do_traits() const override { return BackendTraits().ready_at_start(true); }

    // The list, and what its names stand for.

    asio::awaitable<Result<void>> do_prepare() override
    {
        const auto upkeep = upkeep_;
        const auto group = group_;
        const auto members = group->members();
        if (members.empty())
            co_return fail(Errc::bad_request, "there is no upstream to connect to");
        for (const auto& member : members) {
            auto found = co_await look_up(member->upstream);
            if (!found)
                co_return fail(found.error());
            const std::lock_guard lock(group->mutex);
            member->endpoints = std::move(*found);
        }
        if (upkeep->stopped.is_set())
            co_return fail(Errc::stopping);
        upkeep->prepared = true;
        if (group->options.resolve_interval > group->options.resolve_interval.zero()) {
            auto refresh = keep_looking_up(upkeep);
            asio::co_spawn(group->control, std::move(refresh), asio::detached);
        }
        start_checks(upkeep);
        co_return Result<void>();
    }

    void do_interrupt() override { upkeep_->stop(); }

    static asio::awaitable<Result<void>> replace(UpkeepPtr upkeep, std::vector<Upstream> upstreams)
    {
        const auto group = upkeep->group;
        const auto list = ++upkeep->lists;
        if (upstreams.empty())
            co_return fail(Errc::bad_request, "the list is empty");
        std::unordered_map<std::string, EndpointsPtr> found;
        // An earlier list that is taken meanwhile may remove what was there.
        for (std::optional<std::uint64_t> seen; seen != upkeep->latest;) {
            seen = upkeep->latest;
            std::unordered_set<std::string> known;
            for (const auto& member : group->members())
                if (!member->removed())
                    known.insert(member->name);
            for (const auto& upstream : upstreams) {
                const auto name = upstream.text();
                if (known.contains(name) || found.contains(name))
                    continue;
                auto endpoints = co_await look_up(upstream);
                if (upkeep->stopped.is_set())
                    co_return fail(Errc::stopping);
                if (!endpoints)
                    co_return fail(endpoints.error());
                found.emplace(name, std::move(*endpoints));
            }
        }
        if (upkeep->stopped.is_set())
            co_return fail(Errc::stopping);
        if (list < upkeep->latest)
            co_return fail(Errc::cancelled, "another list came meanwhile");
        upkeep->latest = list;
        {
            const std::lock_guard lock(group->mutex);
            group->balancer.replace(upstreams, now());
            for (const auto& member : group->balancer.members())
                if (const auto entry = found.find(member->name); entry != found.end())
                    member->endpoints = entry->second;
        }
        if (upkeep->prepared)
            start_checks(upkeep);
        upkeep->reconsider();
        co_return Result<void>();
    }

    /// Whether its address can never become another one.
    static bool is_fixed(const Upstream& upstream)
    {
        asio::error_code error;
        if (!upstream.is_unix())
            asio::ip::make_address(upstream.name(), error);
        return !error;
    }

    static asio::awaitable<Result<EndpointsPtr>> look_up(Upstream upstream)
    {
        Balancer::Endpoints found;
        if (upstream.is_unix())
            co_return std::make_shared<const Balancer::Endpoints>();
        if (is_fixed(upstream)) {
            found.emplace_back(asio::ip::make_address(upstream.name()), upstream.port());
            co_return std::make_shared<const Balancer::Endpoints>(std::move(found));
        }
        asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
        auto [error, results] =
            co_await resolver.async_resolve(upstream.name(), std::to_string(upstream.port()), detail::as_result);
        if (error)
            co_return fail(Errc::bad_request, "upstream " + upstream.text() + ": " + error.message());
        for (const auto& result : results)
            found.push_back(result.endpoint());
        co_return std::make_shared<const Balancer::Endpoints>(std::move(found));
    }

    /// Names can come to stand for other addresses. While a look-up fails, the old ones stay.
    static asio::awaitable<void> keep_looking_up(UpkeepPtr upkeep)
    {
        const auto group = upkeep->group;
        while (!upkeep->stopped.is_set()) {
            co_await upkeep->pause(group->options.resolve_interval);
            for (const auto& member : group->members()) {
                if (upkeep->stopped.is_set())
                    co_return;
                if (is_fixed(member->upstream))
                    continue;
                auto found = co_await look_up(member->upstream);
                if (upkeep->stopped.is_set())
                    co_return;
                if (!found) {
                    group->events.warning(group->service, found.error().text() + "; its last addresses stay in use");
                    continue;
                }
                const std::lock_guard lock(group->mutex);
                member->endpoints = std::move(*found);
            }
        }
    }

    // Checks.

    static void start_checks(const UpkeepPtr& upkeep)
    {
        const auto group = upkeep->group;
        if (group->options.check.interval == group->options.check.interval.zero())
            return;
        for (const auto& member : group->members())
            if (!member->removed() && upkeep->checking.insert(member.get()).second) {
                auto task = keep_checking(upkeep, member);
                asio::co_spawn(group->control, std::move(task), asio::detached);
            }
    }

    /// One after the other, from the second on at moments that those of other upstreams do not share.
    static asio::awaitable<void> keep_checking(UpkeepPtr upkeep, MemberPtr member)
    {
        const auto group = upkeep->group;
        const auto interval = group->options.check.interval;
        std::uniform_real_distribution<double> second(0, 1), later(0.9, 1.1);
        double part = second(upkeep->jitter);
        while (!upkeep->stopped.is_set() && !member->removed()) {
            const auto works = co_await check(group, member);
            if (upkeep->stopped.is_set())
                break;
            if (works || !is_want_of_ours(works.error()))
                note_check(*upkeep, *member, works);
            const std::chrono::duration<double, std::milli> duration = interval * part;
            co_await upkeep->pause(std::chrono::duration_cast<std::chrono::milliseconds>(duration));
            part = later(upkeep->jitter);
        }
        upkeep->checking.erase(member.get());
    }

    static void note_check(Upkeep& upkeep, Balancer::Member& member, const Result<void>& works)
    {
        auto& group = *upkeep.group;
        std::unique_lock lock(group.mutex);
        const bool changed = group.balancer.checked(member, works.has_value(), now());
        lock.unlock();
        if (!changed)
            return;
        const auto name = "upstream " + member.name;
        if (works)
            group.events.notice(group.service, name + " is up again");
        else
            group.events.warning(group.service, name + " is down: " + works.error().message());
        upkeep.reconsider();
    }

    static asio::awaitable<Result<void>> check(GroupPtr group, MemberPtr member)
    {
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer deadline(group->control, group->options.check.timeout);
        auto first = co_await (probe(group, member) || deadline.async_wait(detail::as_result));
        if (first.index() == 0)
            co_return std::move(std::get<0>(first));
        co_return fail(Errc::timeout, "its answer takes too long");
    }

    static asio::awaitable<Result<void>> probe(GroupPtr group, MemberPtr member)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto& options = group->options.check;
        auto stream = co_await connect(group, member, options.timeout, nullptr);
        if (stream && group->options.send_proxy)
            stream = co_await introduced(*group, std::move(*stream), ClientInfo());
        if (!stream)
            co_return fail(stream.error());
        if (auto sent = co_await stream->write_all(options.send); !sent)
            co_return sent;
        std::string answer(options.expect.empty() ? 0 : 4096, '\0');
        std::size_t size = 0;
        bool ended = false;
        while (std::string_view(answer).substr(0, size).find(options.expect) == std::string_view::npos) {
            if (ended || size == answer.size())
                co_return fail(Errc::not_ready, "its answer is not the one that is expected");
            const auto rest = std::as_writable_bytes(std::span(answer)).subspan(size);
            const auto count = co_await stream->read_some(rest);
            if (!count)
                co_return fail(count.error());
            size += *count;
            ended = *count == 0;
        }
        co_return Result<void>();
    }

    /// Descriptors or memory are lacking here, which says nothing about an upstream.
    static bool is_want_of_ours(const Error& error)
    {
        return std::ranges::any_of(std::array{EMFILE, ENFILE, ENOBUFS, ENOMEM},
                                   [&error](int number) { return error == detail::system_error(number); });
    }

    // Connections.

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
        ServedPtr served;
        for (auto turn = connection->take(executor, served);; turn = connection->take_another(executor, served)) {
            if (turn == Turn::full)
                co_return fail(Errc::full, "every upstream has its maximum of connections, and too many clients wait");
            if (turn == Turn::wait)
                if (const auto room = co_await wait_for_room(*group, served, request.stream()); !room)
                    co_return fail(room.error());
            const auto member = connection->attempt.member();
            if (!member)
                break;
            auto stream = co_await connect(group, member, group->options.connect_timeout, connection);
            if (detail::is_cancelled(cancellation))
                co_return fail(Errc::cancelled);
            if (stream && group->options.send_proxy)
                stream = co_await introduced(*group, std::move(*stream), request.client().value_or(ClientInfo()));
            if (stream) {
                connection->note_success();
                co_return stream;
            }
            if (is_want_of_ours(stream.error()))
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

    static asio::awaitable<Result<void>> wait_for_room(const Group& group, ServedPtr served, Stream* client)
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

    static asio::awaitable<Result<Stream>> connect(GroupPtr group, MemberPtr member, std::chrono::milliseconds limit,
                                                   ConnectionPtr connection)
    {
        // The stream tells its name, and keeps the connection counted.
        std::shared_ptr<const std::string> peer(std::move(connection), &member->name);
        if (member->upstream.is_unix())
            co_return co_await connect_unix(member->upstream.name(), std::move(peer));
        EndpointsPtr endpoints;
        {
            const std::lock_guard lock(group->mutex);
            endpoints = member->endpoints;
        }
        Result<Stream> last = fail(Errc::not_ready, member->name + " has no address");
        const auto deadline = now() + limit;
        for (auto left = std::ssize(*endpoints); const auto& endpoint : *endpoints) {
            // An equal part of the time that is left, so that an address that does not answer leaves some to the next.
            const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now());
            const auto part = std::max(rest, rest.zero()) / left--;
            UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            if (!socket)
                co_return fail(detail::last_error(), "making a socket");
            last = co_await detail::connect(std::move(socket), endpoint, part, peer);
            if (last)
                break;
        }
        co_return last;
    }

    /// The stream, once it has been told who the client is.
    static asio::awaitable<Result<Stream>> introduced(const Group& group, Stream stream, ClientInfo client)
    {
        const auto header = encode_proxy_header(*group.options.send_proxy, client);
        if (auto sent = co_await stream.write_all(header); !sent)
            co_return fail(std::move(sent.error()));
        co_return stream;
    }

    static asio::awaitable<Result<Stream>> connect_unix(std::string path, std::shared_ptr<const std::string> peer)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof address.sun_path)
            co_return fail(Errc::bad_request, "unix:" + path + ": the path is too long");
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        // Over a Unix socket a connection is there at once, or not at all.
        if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            co_return fail(detail::last_error(), "connecting to unix:" + path);
        co_return make_socket_stream(co_await asio::this_coro::executor, std::move(socket), std::move(peer));
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

    const GroupPtr group_;
    const UpkeepPtr upkeep_;
};

}  // namespace instancer
