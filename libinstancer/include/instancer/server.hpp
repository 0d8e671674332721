// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/server/front_door.hpp>
#include <instancer/detail/socket/peer_watch.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/events.hpp>
#include <instancer/lingering_close.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/pool/pool_user.hpp>
#include <instancer/text/exception_text.hpp>
#include <instancer/workers.hpp>

/// The parts of an instancer, and what they share. `Server` puts them together.
namespace instancer {

/// Limits of time are kept to a quarter of the shortest of them, and to a second at worst; 0 means no limit.
class ServerOptions {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    std::string service;                               ///< Part of every identity.
    Duration auth_timeout = std::chrono::seconds(10);  ///< How long a client may take to say who it is.
    Duration session_idle{0};                          ///< Without a byte in either direction.
    Duration half_close_timeout{0};                    ///< After the end of one direction.
    Duration session_timeout{0};                       ///< From the connection on.
    /// How long a client may take nothing of what an instance that has ended left for it. The default is near the time
    /// after which Linux gives up the connection of a server that has ended.
    Duration delivery_timeout = std::chrono::seconds(100);
    unsigned source_prefix = 64;                  ///< IPv6 clients that share so many bits count as one address.
    std::shared_ptr<UnadmittedLimit> unadmitted;  ///< Where clients take places until they are admitted; may be null.

    /// The defaults, for the service `name`.
    explicit ServerOptions(std::string name) : service(std::move(name)) {}
};

/// One service: takes clients in, has them say who they are, gets each its instance and joins the two.
///
/// Lifetime: everything that is passed by reference must outlive the server, and the workers must run until `run`
/// has completed.
/// Threads: every member on the control executor of the workers.
class Server {
public:
    /// A service made of these parts; nothing happens before `run`.
    Server(Workers& workers, ServerOptions options, std::vector<std::unique_ptr<Acceptor>> acceptors,
           std::unique_ptr<Authenticator> authenticator, InstancePool& pool, Bridge& bridge, Events& events);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// `listener` hears, on the control executor, when clients are taken in. Set it before `run`.
    void on_serving(std::function<void()> listener) { on_serving_ = std::move(listener); }

    /// Prepares the backend, takes over what a previous run left, and serves until `drain` or `stop`.
    /// When it completes, every session and every instance of this server is gone.
    ///
    /// Cancellation: none; `drain` and `stop` end it.
    /// Errors: those of `InstancePool::start`; then nothing was served.
    asio::awaitable<Result<void>> run();

    /// Has the system refuse clients until `resume`, as where nobody listens. Sessions go on.
    void pause() { door_.pause(); }

    /// Listens again, or tries to until it works.
    void resume() { door_.resume(); }

    /// Stops accepting and lets the sessions finish, for `limit` at most (0: however long it takes); then stops.
    void drain(std::chrono::steady_clock::duration limit);

    /// Ends every session and every instance now.
    void stop();

    /// Ends one session, as an operator wishes; false when there is none of that number.
    bool kill(std::uint64_t id)
    {
        const auto found = sessions_.find(id);
        if (found == sessions_.end())
            return false;
        end_session(found->second, SessionEnd::killed);
        return true;
    }

    /// Sessions that are going on.
    std::size_t sessions() const noexcept { return sessions_.size(); }

    /// What there is to say about each of them, in the order in which they came.
    ///
    /// Time: one turn of each worker.
    /// Cancellation: none.
    asio::awaitable<std::vector<SessionStatus>> snapshot();

private:
    /// How long to retry an unreachable instance: after 10 ms, 20 ms and so on, up to this.
    static constexpr std::chrono::milliseconds last_pause{320};

    /// Lives on its worker; the control executor only holds it and posts to it.
    ///
    /// While it is being bridged without a coroutine this is all that there is of it, so it is kept small.
    struct Session final : BridgeObserver {
        Session(Server& by, std::size_t on, std::uint64_t number, Accepted& accepted);

        void bridge_ended(BridgeEnd how) override { server.bridged(*this, how); }

        asio::any_io_executor executor() const { return server.workers_.executor(worker); }

        Server& server;
        const std::uint64_t id;
        std::atomic<std::uint32_t> worker;  ///< Another one, once, for an instance that wants it there.
        std::uint8_t attempt = 0;           ///< Counts the instances that it tried.
        bool handed_over = false;           ///< The instance has the client's own socket.
        bool ended = false;                 ///< `end` was decided from outside.
        bool instance_ended = false;        ///< By itself.
        bool known = false;                 ///< `owner` is.
        bool starting = false;              ///< Counted among those.
        SessionEnd end = SessionEnd::failed;
        std::atomic<SessionEnd> stopped_as = SessionEnd::stopped;  ///< Set before `state` says that it is stopped.
        const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
        ClientInfo info;
        std::unique_ptr<ConnectionSlot> slot;
        UnadmittedLimit::Place place;  ///< Until it is admitted.
        Digest owner;
        Stream client;  ///< Until it becomes part of the link.
        Lease lease;
        std::optional<Link> link;
        LinkState state;
        std::string detail;
        std::optional<asio::cancellation_signal> cancel;  ///< While it has a coroutine.
    };
    using SessionPtr = std::shared_ptr<Session>;

    /// What the coroutine of a session knows, and takes along when it goes on on another worker.
    struct SessionProgress {
        SessionProgress(const Identity& of, Admission how) : identity(of), admission(std::move(how)) {}

        const Identity identity;
        const Admission admission;
        std::chrono::milliseconds pause{10};  ///< Before another instance is asked for.
        std::optional<std::size_t> next_worker;
    };
    using SessionProgressPtr = std::unique_ptr<SessionProgress>;

    /// What an instance's end refers to: a session and, in the last bits, its attempt.
    static constexpr unsigned attempt_bits = 8;

    /// What `snapshot` has gathered from the workers.
    struct Listing {
        Listing(const asio::any_io_executor& control, std::size_t count) : complete(control), missing(count)
        {
            if (missing == 0)
                complete.set();
        }

        void add(const std::optional<SessionStatus>& status)
        {
            if (status)
                sessions.push_back(*status);
            if (--missing == 0)
                complete.set();
        }

        std::vector<SessionStatus> in_order();

        AsyncEvent complete;
        std::size_t missing;
        std::vector<SessionStatus> sessions;
    };

    /// Nothing when it has just ended.
    std::optional<SessionStatus> status_of(const Session& session) const;

    // Taking clients in.

    void begin_session(std::size_t worker, Accepted& accepted);

    /// None for a client that need not say who it is.
    UnadmittedLimit::Place unadmitted_place(const SessionPtr& session);

    Source source_of(const Session& session) const { return Source(session.info, options_.source_prefix); }

    /// Begins the coroutine of a session, or lets it go on with what it knows.
    void spawn(const SessionPtr& session, SessionProgressPtr progress);

    /// Nothing of the session is going on any more on the worker that it leaves.
    void move(const SessionPtr& session, SessionProgressPtr progress);

    // Sessions.

    /// The session on its worker, up to its end or until a bridge goes on without a coroutine. What comes back is what
    /// it goes on with on another worker. `progress` is empty at first.
    asio::awaitable<SessionProgressPtr> serve(SessionPtr session, SessionProgressPtr progress);

    /// The bridge that went on without a coroutine has come to its end.
    void bridged(Session& session, BridgeEnd how)
    {
        conclude(session, end_of(session, how));
        finish(session);
    }

    /// What an end from outside brings about, as the instance is stopped, is that end too.
    static void conclude(Session& session, SessionEnd end) noexcept
    {
        if (!session.ended)
            session.end = session.state.stopped() ? session.stopped_as.load() : end;
    }

    void mark_started(Session& session) noexcept
    {
        if (std::exchange(session.starting, false))
            door_.arrived();
    }

    /// Reports the end and lets go of everything; the session itself goes when the control executor forgets it.
    void finish(Session& session) noexcept;

    SessionSummary summarize(Session& session) const;

    static void release(Session& session);

    /// Nothing when it goes on without this coroutine.
    asio::awaitable<std::optional<SessionEnd>> authenticate_and_join(SessionPtr session, SessionProgressPtr& progress);

    /// Gets it an instance, or another one if that has just ended, and joins the two.
    asio::awaitable<std::optional<SessionEnd>> connect_instance(SessionPtr session, SessionProgress& progress);

    Result<AcquireRequest> make_request(Session& session, const SessionProgress& progress);

    /// Nothing when the session is where its instance wants it.
    std::optional<std::size_t> next_worker(const Session& session) const;

    bool must_introduce_itself(const Session& session) const
    {
        return authenticator_->reads() || (session.slot && session.slot->needs_introduction());
    }

    asio::awaitable<Result<Admission>> admit(Session& session);

    asio::awaitable<Result<Admission>> recognize(Session& session);

    asio::awaitable<Result<Admission>> introduce(Session& session);

    /// Keeps an exception for later: the deadline would be waited for otherwise.
    asio::awaitable<Result<Admission>> authenticate(Session& session, std::exception_ptr& thrown);

    /// Everything about the client's greeting that is wrong ends it without a byte.
    static SessionEnd reject(Session& session, const Error& error);

    Identity identify(const Admission& admission) const;

    /// Waits for the lease, and gives up when the client leaves before.
    asio::awaitable<Result<Lease>> acquire(Session& session, AcquireRequest request);

    static SessionEnd refuse(Session& session, const Admission& admission, const Error& error);

    /// The instance has the client's socket: nothing is left to do but to note its end, or that of the client.
    asio::awaitable<SessionEnd> wait_for_instance(Session& session);

    asio::awaitable<Result<Stream>> reach(Session& session, Identity identity);

    asio::awaitable<std::optional<SessionEnd>> join(Session& session, const Admission& admission, Stream instance);

    void describe(const Session& session, SessionInfo& info) const;

    static SessionEnd end_of(const Session& session, BridgeEnd how) noexcept;

    /// What the protocol of the greeting owes to either side before the bridge takes over. When a connection fails, the
    /// answer says whose.
    asio::awaitable<std::optional<BridgeEnd>> greet(Link& link, const Admission& admission);

    // Ends from outside.

    /// Small enough to need no memory of its own.
    std::function<void(InstanceEnd)> end_listener(const Session& session);

    /// The instance ended by itself: its last words still reach the client.
    void note_instance_end(const SessionPtr& session, std::uint8_t attempt);

    void end_session(const SessionPtr& session, SessionEnd end);

    /// Does something to a session where it lives, wherever that is by then.
    template <class Task>
    static void on_worker(const SessionPtr& session, Task task)
    {
        const std::size_t worker = session->worker;
        asio::post(session->server.workers_.executor(worker), [session, worker, task = std::move(task)]() mutable {
            if (session->worker == worker)
                task(*session);
            else
                on_worker(session, std::move(task));
        });
    }

    /// Ends the sessions that have reached a limit, now and then: stamps cost less than a timer for each.
    asio::awaitable<void> sweep();

    std::optional<SessionEnd> passed_time_limit(const Session& session, LinkState::Clock::time_point now) const;

    void check_over()
    {
        if (closing_.is_set() && door_.is_over() && sessions_.empty())
            sessions_over_.set();
    }

    Workers& workers_;
    ServerOptions options_;
    detail::FrontDoor door_;
    std::unique_ptr<Authenticator> authenticator_;
    InstancePool& pool_;
    PoolUser pool_user_;
    Bridge& bridge_;
    Events& events_;
    std::function<void()> on_serving_;
    const Identity shared_identity_;  ///< Of all clients of an authenticator that tells nobody apart.
    AsyncEvent closing_;
    AsyncEvent sessions_over_;
    AsyncEvent swept_;
    detail::Deadline drain_limit_;
    asio::steady_timer sweep_;
    std::unordered_map<std::uint64_t, SessionPtr> sessions_;
    std::uint64_t last_id_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/server.hpp>
#endif
