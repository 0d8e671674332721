// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/admission/stage_places.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/server/admission_sequence.hpp>
#include <instancer/detail/server/front_door.hpp>
#include <instancer/detail/server/session.hpp>
#include <instancer/detail/server/session_limits.hpp>
#include <instancer/detail/server/session_table.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/pool/pool_user.hpp>
#include <instancer/result.hpp>
#include <instancer/server_options.hpp>
#include <instancer/session.hpp>
#include <instancer/workers.hpp>

/// The parts of an instancer, and what they share. `Server` puts them together.
namespace instancer {

/// One service: takes clients in, identifies them, gets each its instance and joins the two.
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
    /// When it completes, every session of this server is gone, and every instance, unless another server shares the
    /// pool. Call it once: a second run is undefined.
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

    /// Leaves the clients that come from now on to another server that shares its acceptors, and completes when its own
    /// sessions, those that are only beginning included, have ended. `drain` and `stop` may follow.
    void retire();

    /// Ends every session now, and every instance, unless another server shares the pool.
    void stop();

    /// Ends one session, as an operator wishes; false when there is none of that number.
    bool kill(std::uint64_t id) { return sessions_.end(id, SessionEnd::killed); }

    /// Sessions that are going on.
    std::size_t sessions() const noexcept { return sessions_.size(); }

    /// The state of each session, in the order in which they came; those of workers that take longer than `patience`
    /// are left out. 0: all are waited for.
    ///
    /// Time: one turn of each worker.
    /// Cancellation: none.
    asio::awaitable<std::vector<SessionStatus>> snapshot(std::chrono::steady_clock::duration patience = {})
    {
        return sessions_.snapshot(patience);
    }

    /// Where it listens, with the ports that it really got.
    std::vector<std::string> addresses() const { return door_.addresses(); }

    /// The stages that have a budget of places, in the order in which clients pass them.
    std::vector<StagePlaces> places() const;

private:
    static detail::AdmissionSequence admission(const ServerOptions& options,
                                               std::unique_ptr<Authenticator> authenticator);

    void take_in(std::size_t worker, Accepted& accepted);

    void check_over()
    {
        if (closing_.is_set() && door_.is_over() && sessions_.size() == 0)
            sessions_over_.set();
    }

    Workers& workers_;
    const ServerOptions options_;
    detail::FrontDoor door_;
    const detail::AdmissionSequence admission_;
    const detail::AdmissionSequence start_admission_;
    PoolUser pool_;
    Events& events_;
    std::function<void()> on_serving_;
    const Identity shared_identity_;
    detail::SessionTable sessions_;
    const detail::SessionEnvironment environment_;
    detail::SessionLimits limits_;
    AsyncEvent closing_;
    AsyncEvent sessions_over_;
    detail::Deadline drain_limit_;
    bool serves_ = false;
    bool draining_ = false;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/server.hpp>
#endif
