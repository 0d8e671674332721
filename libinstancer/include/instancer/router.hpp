// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/context.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/detail/server/admission_sequence.hpp>
#include <instancer/detail/server/front_door.hpp>
#include <instancer/detail/server/routed_acceptor.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>
#include <instancer/server_options.hpp>
#include <instancer/session_end.hpp>
#include <instancer/workers.hpp>

namespace instancer {

/// Takes clients in for several servers: each goes to one of them, by what the stages of the router have learned.
///
///     Router router(workers, options, std::move(acceptors), by_team, events);
///     Server red(workers, ServerOptions("red"), router.acceptors("red"), ...);
///
/// A session begins in the server that gets the client. A client that the router refuses is reported as a session of
/// the router's own.
///
/// Lifetime: everything that is passed by reference must outlive the router, and the workers must run until `run` has
/// completed.
/// Threads: every member on the control executor of the workers.
class Router {
public:
    /// Names the server that gets a client. Threads: the client's worker, several at once.
    using Choose = std::function<std::string(const AdmissionContext&)>;

    /// Of `options` count the service (a name for the log), the stages, `auth_timeout`, `unadmitted`, `source_prefix`
    /// and `source_prefix4`. The introduction by a proxy is the first stage here too; the stages of the
    /// chosen server identify the client.
    Router(Workers& workers, const ServerOptions& options, std::vector<std::unique_ptr<Acceptor>> acceptors,
           Choose choose, Events& events);
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    /// The acceptors of the server that `choose` calls `name`. Once for each name.
    ///
    /// Clients wait for a server that has yet to run, or takes others in first. Meanwhile each has a place of
    /// `unadmitted`, and is reset when others need that.
    ///
    /// Lifetime: the workers must outlive them.
    std::vector<std::unique_ptr<Acceptor>> acceptors(const std::string& name);

    /// Takes clients in until `stop`. Once.
    ///
    /// Cancellation: none; `stop` ends it.
    asio::awaitable<void> run();

    /// Stops listening, and resets the clients that no server has as yet.
    void stop();

    /// Clients that no server has as yet.
    std::size_t clients() const noexcept { return visits_.size(); }

private:
    /// A client on its way to a server.
    class Visit;
    using VisitPtr = std::shared_ptr<Visit>;

    void take_in(std::size_t worker, Accepted& accepted);

    /// What comes back is the name of the server.
    asio::awaitable<Result<std::string>> pass(VisitPtr visit);

    void conclude(const VisitPtr& visit, std::exception_ptr thrown, const Result<std::string>& server);

    void wait_in_line(const VisitPtr& visit, std::shared_ptr<detail::RoutedClients> server);

    /// Until it is called, or has left.
    asio::awaitable<void> wait_for_call(VisitPtr visit);

    void hand_over(const VisitPtr& visit, detail::RoutedClients& server);

    /// Ends the client, for `end` if nothing has ended it before, and reports it.
    void turn_away(const VisitPtr& visit, SessionEnd end, std::string detail) noexcept;

    void forget(std::uint64_t id);

    Source source(Visit& visit) const;

    void take_place(const VisitPtr& visit);

    void check_over()
    {
        if (stopping_ && door_.is_over() && visits_.empty())
            over_.set();
    }

    Workers& workers_;
    const std::string name_;
    const detail::AdmissionSequence stages_;
    const std::shared_ptr<UnadmittedLimit> unadmitted_;
    const unsigned source_prefix_, source_prefix4_;
    const Choose choose_;
    Events& events_;
    std::map<std::string, std::shared_ptr<detail::RoutedClients>, std::less<>> servers_;
    std::unordered_map<std::uint64_t, VisitPtr> visits_;
    std::uint64_t last_id_ = 0;
    bool stopping_ = false;
    AsyncEvent over_;
    detail::FrontDoor door_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/router.hpp>
#endif
