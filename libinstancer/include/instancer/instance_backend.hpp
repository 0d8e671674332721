// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/instance.hpp>
#include <instancer/pool/queue_place.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// What the pool must know of a backend before it uses it.
class BackendTraits {
public:
    /// In which an end that has begun is noticed.
    static constexpr std::chrono::milliseconds a_moment{100};

    BackendTraits() = default;

    /// An instance serves one connection in its life: every connection gets an instance of its own.
    bool single_use() const noexcept { return single_use_; }
    /// Sets whether an instance serves one connection.
    BackendTraits& single_use(bool value) noexcept
    {
        single_use_ = value;
        return *this;
    }

    /// `start` takes the client's own socket out of the request; `open` is never called.
    bool takes_client_socket() const noexcept { return takes_client_socket_; }
    /// Sets whether `start` takes the client's socket.
    BackendTraits& takes_client_socket(bool value) noexcept
    {
        takes_client_socket_ = value;
        return *this;
    }

    /// What `start` gives serves from then on: no connection has to prove it, and one that fails says nothing about
    /// the instance as a whole.
    bool ready_at_start() const noexcept { return ready_at_start_; }
    /// Sets whether instances serve from the start on.
    BackendTraits& ready_at_start(bool value) noexcept
    {
        ready_at_start_ = value;
        return *this;
    }

    /// How long an instance whose last session ended in order may take to end by itself before it is stopped: it may
    /// still work on what it was sent. After any other end it has `a_moment` of that.
    std::chrono::milliseconds finish_time() const noexcept { return finish_time_; }
    /// Sets how long an instance may take to end by itself.
    BackendTraits& finish_time(std::chrono::milliseconds value) noexcept
    {
        finish_time_ = value;
        return *this;
    }

    /// No more instances than this can exist at once; 0 means no such limit.
    std::size_t max_instances() const noexcept { return max_instances_; }
    /// Sets how many instances can exist.
    BackendTraits& max_instances(std::size_t value) noexcept
    {
        max_instances_ = value;
        return *this;
    }

    /// Clients of a warm instance that was claimed wait until `personalize` has completed.
    bool personalizes() const noexcept { return personalizes_; }
    /// Sets whether warm instances are personalized.
    BackendTraits& personalizes(bool value) noexcept
    {
        personalizes_ = value;
        return *this;
    }

private:
    bool single_use_ = false;
    bool takes_client_socket_ = false;
    bool ready_at_start_ = false;
    bool personalizes_ = false;
    std::size_t max_instances_ = 0;
    std::chrono::milliseconds finish_time_{0};
};

/// What `InstanceBackend::open` is told about the connection that it is for.
/// A warm instance is opened before there is a client: then both are empty.
class OpenRequest {
public:
    OpenRequest() = default;
    /// A connection for a client.
    OpenRequest(const Identity& identity, ClientInfo client, Stream* stream = nullptr, std::uint64_t session = 0)
        : identity_(identity), client_(std::move(client)), stream_(stream), session_(session)
    {
    }

    /// The owner of the instance; none when it is warm.
    const std::optional<Identity>& identity() const noexcept { return identity_; }
    /// The client to connect; none when it is warm.
    const std::optional<ClientInfo>& client() const noexcept { return client_; }

    /// The client's end, for a backend that has it wait: only to notice that it has gone. May be null.
    Stream* stream() const noexcept { return stream_; }

    /// For a backend that has the client wait: to be called, on any thread, with its place when that has changed. May
    /// be empty.
    const std::function<void(const QueuePlace&)>& on_queue() const noexcept { return on_queue_; }
    /// Sets what is called with the client's place.
    OpenRequest& on_queue(std::function<void(const QueuePlace&)> callback)
    {
        on_queue_ = std::move(callback);
        return *this;
    }

    /// The session's number in its Server; 0 when there is none.
    std::uint64_t session() const noexcept { return session_; }

private:
    std::optional<Identity> identity_;
    std::optional<ClientInfo> client_;
    Stream* stream_ = nullptr;
    std::function<void(const QueuePlace&)> on_queue_;
    std::uint64_t session_ = 0;
};

/// Starts, reaches and stops server instances of one kind.
///
/// To add a kind, derive and implement the private `do_*` functions; callers see only the public ones.
///
/// Threads: call every member but `open` and `preferred_executor` on the control executor; those anywhere.
class InstanceBackend {
public:
    InstanceBackend() = default;
    InstanceBackend(const InstanceBackend&) = delete;
    InstanceBackend& operator=(const InstanceBackend&) = delete;
    virtual ~InstanceBackend() = default;

    /// Constant over the life of the backend.
    BackendTraits traits() const { return do_traits(); }

    /// Checks, before any client is served, that instances can be started at all: the program exists, the engine
    /// answers, the image is there.
    ///
    /// Cancellation: not needed; `interrupt` has it end soon.
    /// Errors: the text names what is missing and the remedy.
    asio::awaitable<Result<void>> prepare() { return do_prepare(); }

    /// Lets what takes long and is not an instance, such as a download, end soon and with an error: the server ends.
    /// Instances can still be stopped.
    void interrupt() { do_interrupt(); }

    /// Starts one instance for `request`. It need not accept connections yet: `open` says when it does.
    ///
    /// Concurrency: any number of calls may be outstanding.
    /// Cancellation: not needed; the caller lets it complete and then calls `stop`.
    /// Errors: Errc::start_failed, Errc::backend_unavailable (retry later), Errc::bad_request. Nothing is left
    /// behind then.
    asio::awaitable<Result<Instance>> start(InstanceRequest request) { return do_start(std::move(request)); }

    /// Connects to the instance. The Stream belongs to the executor of the calling coroutine.
    ///
    /// Time: fails rather than hangs; a few seconds at most, and as long as the backend has clients wait.
    /// Concurrency: any number of calls may be outstanding, for one instance too.
    /// Errors: Errc::not_ready, as all else tried again while the instance starts; Errc::instance_gone and
    /// Errc::start_failed, which are not; Errc::full, Errc::queue_timeout, Errc::cancelled where it has clients wait.
    /// Lifetime: the request's stream must stay until completion.
    /// Threads: any executor.
    asio::awaitable<Result<Stream>> open(Instance instance, OpenRequest request)
    {
        return do_open(std::move(instance), std::move(request));
    }

    /// The worker on which every session of this instance lives: `open` is called there, and the bridge runs there.
    /// Empty when any will do. For instances whose sessions share something: a channel, one connection for all.
    ///
    /// Threads: any, once the instance is started.
    asio::any_io_executor preferred_executor(const Instance& instance) const { return do_preferred_executor(instance); }

    /// Completes when the instance has ended, by itself or by `stop`.
    ///
    /// Concurrency: one call per instance.
    /// Cancellation: not needed; `stop` has it complete.
    asio::awaitable<InstanceExit> wait(Instance instance) { return do_wait(std::move(instance)); }

    /// Ends the instance if it still runs, and removes everything that belongs to it. Call it once for each started
    /// instance, also after it ended by itself.
    ///
    /// Time: the grace period of the backend, and then as long as killing takes.
    /// Cancellation: not needed.
    /// Errors: for the operator; the instance counts as gone all the same.
    asio::awaitable<Result<void>> stop(Instance instance) { return do_stop(std::move(instance)); }

    /// A warm instance gets its owner. The client does not wait for this.
    ///
    /// Cancellation: not needed.
    /// Errors: for the operator; the instance is its owner's all the same.
    asio::awaitable<Result<void>> assign(Instance instance, Identity identity)
    {
        return do_assign(std::move(instance), identity);
    }

    /// Gives a warm instance what it has of its owner, of whom `request` tells, before the first client comes. Called
    /// once, and only where the traits ask for it.
    ///
    /// Time: fails rather than hangs; a few seconds at most.
    /// Cancellation: not needed.
    /// Errors: for the operator; the instance is stopped, and its clients are refused.
    asio::awaitable<Result<void>> personalize(Instance instance, InstanceRequest request)
    {
        return do_personalize(std::move(instance), std::move(request));
    }

    /// The time to live of an instance was extended, by `total` since it got its owner. A later run must find that with
    /// the instance.
    ///
    /// Cancellation: not needed.
    /// Errors: for the operator; the instance lives longer all the same.
    asio::awaitable<Result<void>> note_extension(Instance instance, std::chrono::seconds total)
    {
        return do_note_extension(std::move(instance), total);
    }

    /// Finds what a previous run of this program left behind for `service`: returns what can be taken over, and
    /// removes the rest.
    ///
    /// Cancellation: not needed.
    /// Errors: Errc::backend_unavailable.
    asio::awaitable<Result<std::vector<OrphanInstance>>> recover(std::string service)
    {
        return do_recover(std::move(service));
    }

    /// Why an instance that runs does not become ready, for the operator: its last output, the ports that it offers.
    ///
    /// Cancellation: not needed.
    asio::awaitable<std::string> diagnose(Instance instance) { return do_diagnose(std::move(instance)); }

private:
    virtual BackendTraits do_traits() const { return {}; }
    virtual asio::awaitable<Result<void>> do_prepare() { co_return Result<void>(); }
    virtual void do_interrupt() {}
    virtual asio::awaitable<Result<Instance>> do_start(InstanceRequest request) = 0;
    virtual asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest request) = 0;
    virtual asio::any_io_executor do_preferred_executor(const Instance&) const { return {}; }
    virtual asio::awaitable<InstanceExit> do_wait(Instance instance) = 0;
    virtual asio::awaitable<Result<void>> do_stop(Instance instance) = 0;
    virtual asio::awaitable<Result<void>> do_assign(Instance, Identity) { co_return Result<void>(); }
    virtual asio::awaitable<Result<void>> do_personalize(Instance, InstanceRequest) { co_return Result<void>(); }
    virtual asio::awaitable<Result<void>> do_note_extension(Instance, std::chrono::seconds)
    {
        co_return Result<void>();
    }
    virtual asio::awaitable<Result<std::vector<OrphanInstance>>> do_recover(std::string)
    {
        co_return std::vector<OrphanInstance>();
    }
    virtual asio::awaitable<std::string> do_diagnose(Instance) { co_return std::string(); }
};

}  // namespace instancer
