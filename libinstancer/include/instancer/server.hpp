// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <sys/random.h>

#include <instancer/acceptor.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/async_event.hpp>
#include <instancer/detail/dismiss.hpp>
#include <instancer/events.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/workers.hpp>

namespace instancer {

class ServerOptions {
public:
    std::string service;  ///< Part of every identity.
    std::chrono::steady_clock::duration auth_timeout = std::chrono::seconds(10);  ///< 0 means no limit.

    explicit ServerOptions(std::string name) : service(std::move(name)) {}
};

/// One service: takes clients in, has them say who they are, gets each its instance and joins the two.
///
/// Lifetime: everything that is passed by reference must outlive the server, and the workers must run until `run`
/// has completed.
/// Threads: every member on the control executor of the workers.
class Server {
public:
    Server(Workers& workers, ServerOptions options, std::vector<std::unique_ptr<Acceptor>> acceptors,
           std::unique_ptr<Authenticator> authenticator, InstancePool& pool, Bridge& bridge, Events& events)
        : workers_(workers),
          options_(std::move(options)),
          acceptors_(std::move(acceptors)),
          authenticator_(std::move(authenticator)),
          pool_(pool),
          bridge_(bridge),
          events_(events),
          closing_(workers.control()),
          sessions_over_(workers.control()),
          drain_limit_(workers.control())
    {
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Prepares the backend, takes over what a previous run left, and serves until `drain` or `stop`.
    /// When it completes, every session and every instance of this server is gone.
    ///
    /// Errors: those of `InstancePool::start`; then nothing was served.
    asio::awaitable<Result<void>> run()
    {
        if (auto started = co_await pool_.start(); !started) {
            close_acceptors();
            co_return started;
        }
        if (!closing_.is_set())
            for (const auto& acceptor : acceptors_) {
                events_.listening(options_.service, acceptor->address());
                auto loop = accept_loop(*acceptor);
                asio::co_spawn(workers_.control(), std::move(loop), asio::detached);
                ++loops_;
            }
        co_await closing_.wait();
        check_over();
        co_await sessions_over_.wait();
        pool_.close();
        co_await pool_.wait_empty();
        drain_limit_.cancel();
        co_return Result<void>();
    }

    /// Stops accepting and lets the sessions finish, for `limit` at most (0: however long it takes); then stops.
    void drain(std::chrono::steady_clock::duration limit)
    {
        close_acceptors();
        pool_.drain();
        closing_.set();
        check_over();
        if (limit == std::chrono::steady_clock::duration::zero())
            return;
        drain_limit_.expires_after(limit);
        drain_limit_.async_wait([this](const asio::error_code& error) {
            if (!error)
                stop();
        });
    }

    /// Ends every session and every instance now.
    void stop()
    {
        close_acceptors();
        for (const auto& [id, session] : sessions_)
            end_session(session, SessionEnd::stopped);
        pool_.close();
        closing_.set();
        check_over();
    }

    /// Sessions that are going on.
    std::size_t sessions() const noexcept { return sessions_.size(); }

private:
    /// For how long a client is kept whose instance cannot be reached any more: 10 ms, 20 ms and so on up to this.
    static constexpr std::chrono::milliseconds last_pause{320};

    /// Lives on its worker; the control executor only holds it and posts to it.
    struct Session {
        explicit Session(const asio::any_io_executor& on) : executor(on) {}

        asio::any_io_executor executor;
        Stream client;
        SessionSummary summary;
        asio::cancellation_signal cancel;
        Link* link = nullptr;         ///< While the bridge runs.
        bool handed_over = false;     ///< The instance has the client's own socket.
        std::atomic<bool> stopped = false;  ///< Set by the control executor before the instance is stopped.
        bool ended = false;           ///< `summary.end` was decided from outside.
        bool instance_ended = false;  ///< By itself.
        unsigned attempt = 0;         ///< Counts the instances that it tried.
        std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    };
    using SessionPtr = std::shared_ptr<Session>;

    // Taking clients in.

    asio::awaitable<void> accept_loop(Acceptor& acceptor)
    {
        for (bool failing = false;;) {
            const auto taken = co_await take_client(acceptor);
            if (taken) {
                failing = false;
                continue;
            }
            if (closing_.is_set() || taken.error() == std::error_code(asio::error::operation_aborted))
                break;
            // Out of descriptors or memory, as a rule: sessions that end make room.
            if (!std::exchange(failing, true))
                events_.warning(options_.service, taken.error().message() + "; clients wait until it works again");
            asio::steady_timer pause(workers_.control(), std::chrono::milliseconds(100));
            co_await pause.async_wait(detail::as_result);
        }
        --loops_;
        check_over();
    }

    asio::awaitable<Result<void>> take_client(Acceptor& acceptor)
    {
        try {
            const auto executor = workers_.next();
            auto accepted = co_await acceptor.accept(executor);
            if (!accepted)
                co_return tl::unexpected<Error>(accepted.error());
            begin_session(executor, *accepted);
            co_return Result<void>();
        } catch (const std::exception& error) {
            co_return fail(std::make_error_code(std::errc::not_enough_memory), error.what());
        }
    }

    void begin_session(const asio::any_io_executor& executor, Accepted& accepted)
    {
        const auto session = std::make_shared<Session>(executor);
        session->client = std::move(accepted.stream());
        session->summary.id = ++last_id_;
        session->summary.service = options_.service;
        session->summary.client = std::move(accepted.info());
        sessions_.emplace(session->summary.id, session);
        events_.session_started(options_.service, session->summary.id, session->summary.client);
        auto task = serve(session);
        asio::co_spawn(executor, std::move(task), asio::bind_cancellation_slot(session->cancel.slot(), asio::detached));
    }

    void close_acceptors()
    {
        for (const auto& acceptor : acceptors_)
            acceptor->close();
    }

    // Sessions.

    /// The whole session, on its worker.
    asio::awaitable<void> serve(SessionPtr session)
    {
        // Clean-up must run after a cancellation too.
        co_await asio::this_coro::throw_if_cancelled(false);
        auto& summary = session->summary;
        try {
            const auto end = co_await go_through(session);
            if (!session->ended)
                summary.end = end;
        } catch (const std::exception& error) {
            session->link = nullptr;
            summary.detail = error.what();
        }
        session->ended = true;
        if (session->client)
            session->client.abort();
        summary.duration = std::chrono::steady_clock::now() - session->begin;
        events_.session_ended(summary);
        asio::dispatch(workers_.control(), [this, id = summary.id] {
            sessions_.erase(id);
            check_over();
        });
    }

    asio::awaitable<SessionEnd> go_through(SessionPtr session)
    {
        auto admission = co_await admit(*session);
        if (!admission)
            co_return reject(*session, admission.error());
        const Identity identity = identify(*admission);
        session->summary.owner = identity.owner().hex();

        session->handed_over = pool_.traits().takes_client_socket();
        for (auto pause = std::chrono::milliseconds(10);; pause *= 2) {
            AcquireRequest request(identity, session->summary.client);
            request.reset(admission->reset() && session->attempt == 0);
            ++session->attempt;
            session->instance_ended = false;
            request.on_end(end_listener(session));
            if (session->handed_over) {
                const int socket = session->client.native_handle();
                if (socket < 0 || !admission->early_data().empty()) {
                    const Error error(Errc::not_supported, "this client has no socket of its own to hand over");
                    co_return refuse(*session, *admission, error);
                }
                // The instance's socket is to block, which a wait that begins later must not undo.
                if (const auto watched = session->client.watch(); !watched)
                    co_return refuse(*session, *admission, watched.error());
                request.client_socket().reset(::fcntl(socket, F_DUPFD_CLOEXEC, 3));
            }
            auto lease = co_await acquire(*session, std::move(request));
            if (!lease)
                co_return refuse(*session, *admission, lease.error());
            session->summary.instance = lease->instance().name();
            if (session->handed_over)
                co_return co_await wait_for_instance(*session);
            auto instance = co_await reach(*session, *lease, identity);
            if (instance)
                co_return co_await join(*session, *admission, *lease, std::move(*instance));
            // It was ready once: it is about to end, as a rule, and then there is room for another one.
            const bool ending = instance.error() == Errc::not_ready || instance.error() == Errc::instance_gone;
            if (session->ended || !ending || pause > last_pause)
                co_return refuse(*session, *admission, instance.error());
            lease = Lease();
            asio::steady_timer timer(session->executor, pause);
            co_await timer.async_wait(detail::as_result);
            if (session->ended)
                co_return SessionEnd::stopped;
        }
    }

    asio::awaitable<Result<Admission>> admit(Session& session)
    {
        using namespace asio::experimental::awaitable_operators;
        if (options_.auth_timeout == std::chrono::steady_clock::duration::zero())
            co_return co_await authenticator_->authenticate(session.client, session.summary.client);
        asio::steady_timer deadline(session.executor, options_.auth_timeout);
        std::exception_ptr thrown;
        auto first = co_await (authenticate(session, thrown) || deadline.async_wait(detail::as_result));
        if (first.index() == 0) {
            if (thrown)
                std::rethrow_exception(thrown);
            co_return std::move(std::get<0>(first));
        }
        co_return fail(Errc::timeout, "the client did not say in time who it is");
    }

    /// Keeps an exception for later: the deadline would be waited for otherwise.
    asio::awaitable<Result<Admission>> authenticate(Session& session, std::exception_ptr& thrown)
    {
        try {
            co_return co_await authenticator_->authenticate(session.client, session.summary.client);
        } catch (...) {
            thrown = std::current_exception();
        }
        co_return fail(Errc::rejected);
    }

    /// Everything about the client's greeting that is wrong ends it without a byte.
    static SessionEnd reject(Session& session, const Error& error)
    {
        session.summary.detail = error.message();
        if (error == std::error_code(asio::error::operation_aborted))
            return SessionEnd::stopped;
        if (error == Errc::timeout || error == Errc::rejected)
            detail::dismiss(session.client);
        if (error == Errc::timeout)
            return SessionEnd::auth_timeout;
        return error == Errc::rejected ? SessionEnd::rejected : SessionEnd::client_left;
    }

    Identity identify(const Admission& admission) const
    {
        if (admission.returning() && !pool_.traits().single_use())
            return Identity(options_.service, admission.owner(), admission.identifier());
        char random[16];
        while (::getrandom(random, sizeof random, 0) != sizeof random) {}
        const std::string_view nonce(random, sizeof random);
        if (!admission.returning())
            return Identity(options_.service, nonce, nonce, false);
        return Identity(options_.service, admission.owner(), nonce, false);
    }

    /// Waits for the lease, and gives up when the client leaves before.
    asio::awaitable<Result<Lease>> acquire(Session& session, AcquireRequest request)
    {
        using namespace asio::experimental::awaitable_operators;
        const auto ticket = pool_.begin_acquire(session.executor, std::move(request));
        if (ticket.ready())
            co_return co_await ticket.wait();
        auto first = co_await (ticket.wait() || session.client.wait(Readiness::gone));
        if (first.index() == 0)
            co_return std::move(std::get<0>(first));
        co_return fail(Errc::cancelled, "the client left");
    }

    static SessionEnd refuse(Session& session, const Admission& admission, const Error& error)
    {
        session.summary.detail = error.message();
        if (const auto text = admission.on_refusal(error); !text.empty()) {
            // Best effort: a client that does not take a line at once does not get it.
            static_cast<void>(session.client.try_write(std::as_bytes(std::span(text))));
            detail::dismiss(session.client);
        } else {
            session.client.abort();
        }
        static constexpr std::pair<Errc, SessionEnd> ends[] = {
            {Errc::full, SessionEnd::refused},
            {Errc::queue_timeout, SessionEnd::queue_timeout},
            {Errc::start_failed, SessionEnd::start_failed},
            {Errc::start_timeout, SessionEnd::start_failed},
            {Errc::not_ready, SessionEnd::start_failed},
            {Errc::instance_gone, SessionEnd::start_failed},
            {Errc::backend_unavailable, SessionEnd::unavailable},
            {Errc::reset, SessionEnd::reset},
            {Errc::stopping, SessionEnd::stopped},
            {Errc::cancelled, SessionEnd::client_left},
        };
        for (const auto& [code, end] : ends)
            if (error == code)
                return end;
        // What the system said when the instance was to be reached.
        return error.code().category() == error_category() ? SessionEnd::failed : SessionEnd::start_failed;
    }

    /// The instance has the client's socket: nothing is left to do but to note its end.
    asio::awaitable<SessionEnd> wait_for_instance(Session& session)
    {
        session.client.close();
        asio::steady_timer forever(session.executor, std::chrono::steady_clock::time_point::max());
        while (!session.instance_ended && !session.ended)
            co_await forever.async_wait(detail::as_result);
        co_return SessionEnd::instance_ended;
    }

    asio::awaitable<Result<Stream>> reach(Session& session, Lease& lease, Identity identity)
    {
        if (Stream stream = lease.take_stream())
            co_return stream;
        OpenRequest request(identity, session.summary.client);
        co_return co_await pool_.backend().open(lease.instance(), std::move(request));
    }

    asio::awaitable<SessionEnd> join(Session& session, Admission& admission, Lease& lease, Stream instance)
    {
        Link link(std::move(session.client), std::move(instance), lease.usage(), &session.stopped);
        link.introduce(session.summary);
        const auto greeted = co_await greet(link, admission);
        BridgeEnd end = BridgeEnd::instance_reset;
        if (greeted && !session.ended) {
            session.link = &link;
            if (session.instance_ended)
                link.instance_ended();
            end = co_await bridge_.run(link);
            session.link = nullptr;
        } else {
            link.client().abort();
            link.instance().abort();
        }
        session.summary.bytes_up = link.bytes_up();
        session.summary.bytes_down = link.bytes_down();
        switch (end) {
        case BridgeEnd::completed: co_return SessionEnd::completed;
        case BridgeEnd::client_reset: co_return SessionEnd::client_reset;
        case BridgeEnd::instance_reset:
            co_return session.instance_ended ? SessionEnd::instance_ended : SessionEnd::instance_reset;
        case BridgeEnd::ended_by_hook: co_return SessionEnd::ended_by_hook;
        case BridgeEnd::hook_failed: co_return SessionEnd::failed;
        case BridgeEnd::cancelled: break;
        }
        co_return SessionEnd::stopped;
    }

    /// What the protocol of the greeting owes to either side before the bridge takes over.
    asio::awaitable<Result<void>> greet(Link& link, const Admission& admission)
    {
        if (const auto& text = admission.on_open(); !text.empty())
            if (auto sent = co_await link.client().write_all(std::as_bytes(std::span(text))); !sent)
                co_return sent;
        if (const auto& early = admission.early_data(); bridge_.takes_early_data()) {
            link.set_early_data(early);
        } else if (!early.empty()) {
            if (auto sent = co_await link.instance().write_all(std::as_bytes(std::span(early))); !sent)
                co_return sent;
            link.count_up(early.size());
        }
        co_return Result<void>();
    }

    // Ends from outside.

    std::function<void(InstanceEnd)> end_listener(const SessionPtr& session)
    {
        return [this, weak = std::weak_ptr<Session>(session), attempt = session->attempt](InstanceEnd end) {
            const auto found = weak.lock();
            if (!found)
                return;
            switch (end) {
            case InstanceEnd::culled: return end_session(found, SessionEnd::culled);
            case InstanceEnd::expired: return end_session(found, SessionEnd::expired);
            case InstanceEnd::idle: return end_session(found, SessionEnd::idle);
            case InstanceEnd::reset: return end_session(found, SessionEnd::reset);
            case InstanceEnd::exited: return note_instance_end(found, attempt);
            default: return end_session(found, SessionEnd::stopped);
            }
        };
    }

    /// The instance ended by itself: its last words still reach the client.
    void note_instance_end(const SessionPtr& session, unsigned attempt)
    {
        if (session->handed_over)
            return end_session(session, SessionEnd::instance_ended);
        asio::post(session->executor, [session, attempt] {
            if (attempt != session->attempt)
                return;
            session->instance_ended = true;
            if (session->link)
                session->link->instance_ended();
        });
    }

    void end_session(const SessionPtr& session, SessionEnd end)
    {
        session->stopped = true;
        asio::post(session->executor, [session, end] {
            if (session->ended)
                return;
            session->ended = true;
            session->summary.end = end;
            session->cancel.emit(asio::cancellation_type::terminal);
        });
    }

    void check_over()
    {
        if (closing_.is_set() && loops_ == 0 && sessions_.empty())
            sessions_over_.set();
    }

    Workers& workers_;
    ServerOptions options_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::unique_ptr<Authenticator> authenticator_;
    InstancePool& pool_;
    Bridge& bridge_;
    Events& events_;
    detail::AsyncEvent closing_;
    detail::AsyncEvent sessions_over_;
    asio::steady_timer drain_limit_;
    std::unordered_map<std::uint64_t, SessionPtr> sessions_;
    std::uint64_t last_id_ = 0;
    std::size_t loops_ = 0;
};

}  // namespace instancer
