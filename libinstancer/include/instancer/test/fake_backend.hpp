// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/client.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/test/fake_stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::test {

/// For tests: a point that operations pass, or where they wait for as long as the test holds it.
class FakeGate {
public:
    /// An open gate; coroutines that wait at it wait on `executor`.
    explicit FakeGate(const asio::any_io_executor& executor) : executor_(executor) {}

    /// Has operations wait from now on.
    void hold()
    {
        if (!held_)
            held_ = std::make_shared<AsyncEvent>(executor_);
    }

    /// Lets everything pass, now and from now on.
    void release()
    {
        if (const auto held = std::exchange(held_, nullptr))
            held->set();
    }

    /// Operations that wait here.
    std::size_t waiting() const noexcept { return waiting_; }

    /// Goes through, at once or when the gate opens.
    asio::awaitable<void> pass()
    {
        const auto held = held_;
        if (!held)
            co_return;
        ++waiting_;
        co_await held->wait();
        --waiting_;
    }

private:
    asio::any_io_executor executor_;
    std::shared_ptr<AsyncEvent> held_;
    std::size_t waiting_ = 0;
};

/// For tests: an instance that exists in memory only, as the test sees it.
class FakeInstance : public Instance::State {
public:
    /// For FakeBackend, which makes them.
    FakeInstance(const asio::any_io_executor& executor, std::string name) : name_(std::move(name)), ended_(executor) {}

    /// As the backend calls it.
    const std::string& name() const noexcept { return name_; }

    /// Whom it was started for; empty for a warm one.
    const std::optional<Identity>& identity() const noexcept { return identity_; }
    /// The client that asked for it; empty for a warm one.
    const std::optional<ClientInfo>& client() const noexcept { return client_; }

    /// Whom it was given to when it was warm.
    const std::optional<Identity>& assigned() const noexcept { return assigned_; }
    /// Whom it was personalized for when it was warm.
    const std::optional<Identity>& personalized() const noexcept { return personalized_; }
    /// How much its time to live was extended, by what the backend was told.
    std::chrono::seconds extended() const noexcept { return extended_; }

    /// The far end of each connection that was opened to it, in order.
    std::vector<FakePeer>& connections() noexcept { return connections_; }

    /// The client's own socket, when the backend takes it.
    UniqueFd& client_socket() noexcept { return client_socket_; }

    /// It ends by itself, and its connections with it.
    void exit(std::string text = "exit code 1")
    {
        if (ended_.is_set())
            return;
        text_ = std::move(text);
        client_socket_.reset();
        for (auto& connection : connections_)
            connection.close();
        ended_.set();
    }

    /// It has ended, by itself or by being stopped.
    bool ended() const noexcept { return ended_.is_set(); }

    /// The pool has had it removed.
    bool stopped() const noexcept { return stopped_; }

private:
    friend class FakeBackend;

    std::string name_;
    std::optional<Identity> identity_;
    std::optional<ClientInfo> client_;
    std::optional<Identity> assigned_;
    std::optional<Identity> personalized_;
    std::chrono::seconds extended_{0};
    std::vector<FakePeer> connections_;
    UniqueFd client_socket_;
    AsyncEvent ended_;
    std::string text_ = "ended";
    std::size_t opens_to_refuse_ = 0;
    bool stopped_ = false;
};

/// For tests: a backend whose instances are fakes. Everything succeeds at once, unless the test says otherwise
/// with the members below.
///
/// Threads: one thread runs everything.
class FakeBackend final : public InstanceBackend {
public:
    /// An instance as the test holds it.
    using InstancePtr = std::shared_ptr<FakeInstance>;

    /// Says of itself what `traits` say.
    explicit FakeBackend(const asio::any_io_executor& executor, const BackendTraits& traits = {})
        : prepares(executor),
          starts(executor),
          opens(executor),
          personalizations(executor),
          stops(executor),
          executor_(executor),
          traits_(traits)
    {
    }

    // What it does.

    FakeGate prepares;                       ///< Where `prepare` waits.
    FakeGate starts;                         ///< Where `start` waits.
    FakeGate opens;                          ///< Where `open` waits.
    FakeGate personalizations;               ///< Where `personalize` waits.
    FakeGate stops;                          ///< Where `stop` waits.
    std::optional<Error> prepare_error;      ///< What `prepare` fails with.
    std::optional<Error> list_error;         ///< What `list` fails with.
    std::optional<Error> start_error;        ///< What `start` fails with.
    std::optional<Error> open_error;         ///< What `open` fails with.
    std::optional<Error> personalize_error;  ///< What `personalize` fails with.
    std::optional<Error> stop_error;         ///< What `stop` fails with.
    std::size_t opens_to_refuse = 0;  ///< Each instance that starts from now on is not ready before so many tries.
    std::string explanation;          ///< What `diagnose` answers.

    /// An instance of a previous run, for `list` to find.
    InstancePtr leave_behind(const Identity& identity, std::chrono::seconds age,
                             std::chrono::seconds extended = std::chrono::seconds(0))
    {
        auto made = make();
        made->identity_ = identity;
        leftovers_.emplace_back(Instance(made->name(), made), identity, age).extended(extended);
        return made;
    }

    // What it has seen.

    /// Every instance that there ever was, in order of their start.
    const std::vector<InstancePtr>& instances() const noexcept { return instances_; }

    /// Instances that have not been stopped.
    std::size_t running() const noexcept
    {
        std::size_t count = 0;
        for (const auto& instance : instances_)
            count += instance->stopped() ? 0 : 1;
        return count;
    }

    /// Calls of `open`, including failed ones.
    std::size_t times_opened() const noexcept { return times_opened_; }

private:
    InstancePtr make()
    {
        auto made = std::make_shared<FakeInstance>(executor_, "fake " + std::to_string(instances_.size() + 1));
        instances_.push_back(made);
        return made;
    }

    static tl::unexpected<Error> failure(const std::optional<Error>& error) { return tl::unexpected<Error>(*error); }

    BackendTraits do_traits() const override { return traits_; }

    asio::awaitable<Result<void>> do_prepare() override
    {
        co_await prepares.pass();
        if (prepare_error)
            co_return failure(prepare_error);
        co_return Result<void>();
    }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override
    {
        co_await starts.pass();
        if (start_error)
            co_return failure(start_error);
        const auto made = make();
        made->identity_ = request.identity();
        made->client_ = request.client();
        made->client_socket_ = std::move(request.client_socket());
        made->opens_to_refuse_ = opens_to_refuse;
        co_return Instance(made->name(), made);
    }

    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest) override
    {
        const auto executor = co_await asio::this_coro::executor;
        ++times_opened_;
        co_await opens.pass();
        if (open_error)
            co_return failure(open_error);
        auto& opened = instance.state<FakeInstance>();
        if (opened.ended())
            co_return fail(Errc::instance_gone);
        if (opened.opens_to_refuse_ != 0) {
            --opened.opens_to_refuse_;
            co_return fail(Errc::not_ready);
        }
        co_return opened.connections_.emplace_back(executor).take_stream();
    }

    asio::awaitable<InstanceExit> do_wait(Instance instance) override
    {
        auto& waited = instance.state<FakeInstance>();
        co_await waited.ended_.wait();
        co_return InstanceExit(waited.text_);
    }

    asio::awaitable<Result<void>> do_stop(Instance instance) override
    {
        co_await stops.pass();
        auto& stopped = instance.state<FakeInstance>();
        stopped.exit("stopped");
        stopped.stopped_ = true;
        if (stop_error)
            co_return failure(stop_error);
        co_return Result<void>();
    }

    asio::awaitable<Result<void>> do_assign(Instance instance, Identity identity) override
    {
        instance.state<FakeInstance>().assigned_ = identity;
        co_return Result<void>();
    }

    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override
    {
        co_await personalizations.pass();
        if (personalize_error)
            co_return failure(personalize_error);
        instance.state<FakeInstance>().personalized_ = request.identity();
        co_return Result<void>();
    }

    asio::awaitable<Result<void>> do_note_extension(Instance instance, std::chrono::seconds total) override
    {
        instance.state<FakeInstance>().extended_ = total;
        co_return Result<void>();
    }

    asio::awaitable<Result<std::vector<OrphanInstance>>> do_recover(std::string) override
    {
        if (list_error)
            co_return failure(list_error);
        co_return std::exchange(leftovers_, {});
    }

    asio::awaitable<std::string> do_diagnose(Instance) override { co_return explanation; }

    asio::any_io_executor executor_;
    BackendTraits traits_;
    std::vector<InstancePtr> instances_;
    std::vector<OrphanInstance> leftovers_;
    std::size_t times_opened_ = 0;
};

}  // namespace instancer::test
