// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/post.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/context.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/client.hpp>
#include <instancer/coming_end.hpp>
#include <instancer/detail/server/admission_sequence.hpp>
#include <instancer/detail/server/end_cause.hpp>
#include <instancer/detail/server/front_door.hpp>
#include <instancer/detail/server/step_time.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/result.hpp>
#include <instancer/server_options.hpp>
#include <instancer/session.hpp>
#include <instancer/stream.hpp>
#include <instancer/workers.hpp>

namespace instancer::detail {

class SessionTable;

/// What all sessions of a server use.
struct SessionEnvironment {
    Workers& workers;
    const ServerOptions& options;
    const AdmissionSequence& admission;
    const AdmissionSequence& start_admission;  ///< Of clients for whom an instance would be started.
    InstancePool& pool;
    Bridge& bridge;
    Events& events;
    FrontDoor& door;
    SessionTable& table;
    const Identity& shared_identity;  ///< Of all clients of an authenticator that tells nobody apart.
};

/// One client of a server, from its accept to its end.
///
///     accepted ──► admitting ──► acquiring ◄──► reaching ──► serving
///         └────────────┴─────────────┴─────────────┴────────────┴──► over
///
/// While it is being bridged without a coroutine this is all that there is of it, so it is kept small.
///
/// Lifetime: the environment must outlive its running; its table holds it until it is over.
/// Threads: its worker, if not said otherwise.
class Session final : public std::enable_shared_from_this<Session>, private BridgeObserver {
public:
    /// Threads: the control executor.
    Session(const SessionEnvironment& environment, std::size_t worker, std::uint64_t id, Accepted& accepted);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Begins to admit and serve the client, of which `attributes` are known.
    ///
    /// Threads: the control executor; once.
    void run(AdmissionContext::Attributes attributes);

    /// Ends it before it has run: its client is not let in.
    ///
    /// Threads: the control executor.
    void turn_away(const Error& why);

    /// Ends it before it has run: something went wrong here.
    ///
    /// Threads: the control executor.
    void fail_to_run(std::string why);

    /// Ends it soon, for `why` if it has not ended already.
    ///
    /// Threads: any.
    void end(SessionEnd why);

    /// The instance of one of its attempts has ended by itself: its last words still reach the client.
    ///
    /// Threads: any.
    void instance_exited(std::uint8_t attempt);

    /// Tells the client of the end that comes, if it has not been told of that.
    ///
    /// Threads: the control executor.
    void warn_once(const ComingEnd& end);

    /// Nothing when it has just ended.
    std::optional<SessionStatus> status() const;

    /// Its number. Threads: any.
    std::uint64_t id() const noexcept { return id_; }
    /// When the client was taken in. Threads: any.
    std::chrono::steady_clock::time_point begin() const noexcept { return begin_; }
    /// What its ends are doing. Threads: any.
    const LinkState& state() const noexcept { return state_; }

    /// Whether it has been joined to its instance. Threads: any.
    bool is_joined() const noexcept { return state_.last_active() != LinkState::Clock::time_point(); }

    /// Where the client comes from.
    const ClientInfo& client_info() const noexcept { return info_; }

    /// Calls `task` with this session where it lives, wherever that is by then.
    ///
    /// Threads: any.
    template <class Task>
    void on_worker(Task task)
    {
        post(shared_from_this(), environment_.workers, std::move(task));
    }

private:
    /// The environment may have gone by the time that the task runs.
    template <class Task>
    static void post(std::shared_ptr<Session> self, Workers& workers, Task task)
    {
        const std::size_t worker = self->worker_;
        asio::post(workers.executor(worker),
                   [self = std::move(self), &workers, worker, task = std::move(task)]() mutable {
                       if (self->worker_ == worker)
                           task(*self);
                       else
                           post(std::move(self), workers, std::move(task));
                   });
    }

    /// How long to retry an unreachable instance: after 10 ms, 20 ms and so on, up to this.
    static constexpr std::chrono::milliseconds last_pause{320};

    enum class Stage : std::uint8_t {
        accepted,   ///< Nothing was done yet.
        admitting,  ///< The client passes the stages.
        acquiring,  ///< Waits for an instance.
        reaching,   ///< Connects to its instance.
        serving,    ///< The client is joined to its instance.
        over,
    };

    /// What the coroutine of a session knows, and takes along when it goes on on another worker.
    struct Progress {
        Progress(Session& session, AdmissionContext::Attributes attributes)
            : context(session.info_, session.slot_.get(), std::move(attributes))
        {
        }

        const Admission& admission() const { return *context.admission(); }

        AdmissionContext context;
        UnadmittedLimit::Place place;  ///< While the client is being admitted.
        Identity identity;
        bool reset = false;                   ///< Every instance of the owner has yet to go.
        bool may_start = false;               ///< The client has passed what comes before a start.
        std::chrono::milliseconds pause{10};  ///< Before another instance is asked for.
        std::optional<std::size_t> next_worker;
    };
    using ProgressPtr = std::unique_ptr<Progress>;

    asio::any_io_executor executor() const { return environment_.workers.executor(worker_); }

    Source source() const
    {
        return Source(info_, environment_.options.source_prefix, environment_.options.source_prefix4);
    }

    bool hands_over_socket() const { return environment_.pool.traits().takes_client_socket(); }

    static std::string_view name_of(Stage stage) noexcept;

    /// The front door counts the sessions that are on their way to an instance.
    static bool on_its_way(Stage stage) noexcept { return stage > Stage::accepted && stage < Stage::serving; }

    void enter(Stage next) noexcept;

    /// Begins the coroutine, or lets it go on with what it knows.
    void spawn(ProgressPtr progress);

    /// Goes on on another worker, where its instance lives. No operation of it is outstanding.
    void move(ProgressPtr progress);

    /// Up to its end, or until a bridge goes on without a coroutine. What comes back is what it goes on with on another
    /// worker.
    asio::awaitable<ProgressPtr> serve(std::shared_ptr<Session> self, ProgressPtr progress);

    // Admission.

    /// None for a client that no stage waits for.
    UnadmittedLimit::Place unadmitted_place(const AdmissionSequence& stages, const AdmissionContext& context);

    /// Nothing when the client is admitted.
    asio::awaitable<std::optional<SessionEnd>> admit(Progress& progress);

    /// Nothing when an instance may be started for the client.
    asio::awaitable<std::optional<SessionEnd>> admit_to_start(Progress& progress);

    asio::awaitable<Result<void>> pass(const AdmissionSequence& stages, Progress& progress, std::span<StepTime> times);

    SessionEnd reject(const Error& error, ServerOptions::Duration retry_after = {});

    /// Tells the client why it is refused, and ends it in order; false where clients are not told.
    bool take_leave(const Error& error, ServerOptions::Duration retry_after);

    Identity identify(const Admission& admission) const;

    // Its instance.

    /// Gets it an instance, or another one if that has just ended, and joins the two. Nothing when it goes on without
    /// this coroutine.
    asio::awaitable<std::optional<SessionEnd>> connect_instance(Progress& progress);

    Result<AcquireRequest> make_request(const Progress& progress);

    /// Has the pool tell of the client's place in the queue and of the end of its instance, where it is to know.
    void listen_to_pool(AcquireRequest& request);

    /// Adds the client's socket, for the instance.
    Result<void> add_socket(AcquireRequest& request);

    bool tells_places() const { return environment_.options.tell && !environment_.options.tell->queued.empty(); }

    /// What tells the client its place in a queue.
    std::function<void(const QueuePlace&)> place_listener();

    /// Best effort, as all that is told while something else goes on.
    void tell_place(const QueuePlace& place);

    void warn(const ComingEnd& end);

    /// Waits for the lease, and gives up when the client leaves before.
    asio::awaitable<Result<Lease>> acquire(AcquireRequest request);

    /// The same, and notes how long it took.
    asio::awaitable<Result<Lease>> acquire_in_time(AcquireRequest request);

    SessionEnd refuse(const Admission& admission, const Error& error, ServerOptions::Duration retry_after = {});

    /// Nothing when the session is where its instance wants it.
    std::optional<std::size_t> next_worker() const;

    /// The instance has the client's socket: nothing is left to do but to note its end, or that of the client.
    asio::awaitable<SessionEnd> wait_for_instance();

    asio::awaitable<Result<Stream>> reach(Identity identity);

    /// It serves from now on.
    void note_joined();

    asio::awaitable<std::optional<SessionEnd>> join(const Progress& progress, Stream instance);

    /// What the client gets before the first byte of its instance.
    std::string greeting(const Progress& progress) const;

    /// Sends the client that, if it is anything. False when the client has left.
    static asio::awaitable<bool> greet(Link& link, std::string_view text);

    // Its end.

    /// The bridge that went on without a coroutine has come to its end.
    void bridge_ended(BridgeEnd how) override { finish(end_of_bridge(how, instance_exited_)); }

    /// Reports the end and lets go of everything; the session itself goes when the table forgets it.
    void finish(SessionEnd end) noexcept;

    SessionSummary summarize();

    /// Those of all stages but the ones before a start.
    std::span<StepTime> admission_times();

    /// Those of the stages before a start.
    std::span<StepTime> start_admission_times();

    SessionTimes times() const;

    void describe(SessionInfo& info) const;

    void release();

    const SessionEnvironment& environment_;
    const std::uint64_t id_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    std::atomic<std::uint32_t> worker_;  ///< Another one, once, for an instance that wants it there.
    std::uint8_t attempt_ = 0;           ///< Counts the instances that it tried.
    bool instance_exited_ = false;       ///< By itself, in this attempt.
    bool rejected_ = false;              ///< It failed to prove something.
    Stage stage_ = Stage::accepted;
    EndCause cause_;
    ClientInfo info_;
    std::unique_ptr<ConnectionSlot> slot_;
    Digest owner_;  ///< Once the client is admitted.
    std::string label_;
    Stream client_;  ///< Until it becomes part of the link.
    Lease lease_;
    std::optional<Link> link_;
    LinkState state_;
    LinkState::Clock::time_point warned_of_;  ///< The control executor's own.
    std::string detail_;
    std::array<StepTime, SessionTimes::max_stages> stage_times_;
    StepTime waiting_, start_, joined_;
    std::optional<asio::cancellation_signal> cancel_;  ///< While it has a coroutine.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/detail/server/session_table.hpp>

#include <instancer/impl/detail/server/session.hpp>
#endif
