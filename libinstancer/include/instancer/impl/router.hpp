// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <optional>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <instancer/admission/introduction_stage.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/displacement.hpp>
#include <instancer/detail/server/end_cause.hpp>
#include <instancer/detail/server/reject_client.hpp>
#include <instancer/router.hpp>
#include <instancer/session.hpp>
#include <instancer/stream.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer {

class Router::Visit : public std::enable_shared_from_this<Visit> {
public:
    Visit(std::uint64_t number, asio::any_io_executor control, asio::any_io_executor where, Accepted&& client)
        : id(number),
          executor(std::move(where)),
          accepted(std::move(client)),
          context(accepted.info(), accepted.slot().get()),
          called(control),
          control_(std::move(control))
    {
    }

    /// Ends it soon, for `why` if nothing has ended it before. Threads: any.
    void end(SessionEnd why)
    {
        if (!cause.set(why))
            return;
        asio::post(executor, [self = shared_from_this()] { self->cancel.emit(asio::cancellation_type::terminal); });
        asio::post(control_, [self = shared_from_this()] { self->called.set(); });
    }

    const std::uint64_t id;
    const asio::any_io_executor executor;
    const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    Accepted accepted;
    AdmissionContext context;
    std::optional<UnadmittedLimit::Place> place;
    detail::EndCause cause;
    asio::cancellation_signal cancel;  ///< Of what the stages do.
    AsyncEvent called;                 ///< By its server, or to its end.

private:
    const asio::any_io_executor control_;
};

INSTANCER_DECL Router::Router(Workers& workers, const ServerOptions& options,
                              std::vector<std::unique_ptr<Acceptor>> acceptors, Choose choose, Events& events)
    : workers_(workers),
      name_(options.service),
      stages_(detail::AdmissionSequence::after_introduction(options.stages), options.auth_timeout),
      unadmitted_(options.unadmitted),
      source_prefix_(options.source_prefix),
      source_prefix4_(options.source_prefix4),
      choose_(std::move(choose)),
      events_(events),
      over_(workers.control()),
      door_(
          workers, name_, std::move(acceptors), events,
          [this](std::size_t worker, Accepted& accepted) { take_in(worker, accepted); }, [this] { check_over(); })
{
}

INSTANCER_DECL std::vector<std::unique_ptr<Acceptor>> Router::acceptors(const std::string& name)
{
    const auto clients = std::make_shared<detail::RoutedClients>(workers_.control(), name);
    servers_[name] = clients;
    std::vector<std::unique_ptr<Acceptor>> all;
    all.push_back(std::make_unique<detail::RoutedAcceptor>(clients));
    return all;
}

INSTANCER_DECL asio::awaitable<void> Router::run()
{
    door_.open();
    check_over();
    co_await over_.wait();
}

INSTANCER_DECL void Router::stop()
{
    stopping_ = true;
    door_.close();
    for (const auto& [id, visit] : visits_)
        visit->end(SessionEnd::stopped);
    check_over();
}

INSTANCER_DECL void Router::take_in(std::size_t worker, Accepted& accepted)
{
    const auto visit =
        std::make_shared<Visit>(++last_id_, workers_.control(), workers_.executor(worker), std::move(accepted));
    if (const auto& refusal = visit->accepted.refusal())
        return turn_away(visit, detail::reject_client(visit->accepted.stream(), *refusal), refusal->message());
    visits_.emplace(visit->id, visit);
    door_.set_out();
    if (stages_.waits_for(visit->context))
        take_place(visit);
    auto task = pass(visit);
    auto done = [this, visit](std::exception_ptr thrown, Result<std::string> server) {
        asio::dispatch(workers_.control(),
                       [this, visit, thrown, server = std::move(server)] { conclude(visit, thrown, server); });
    };
    asio::co_spawn(visit->executor, std::move(task),
                   asio::bind_cancellation_slot(visit->cancel.slot(), std::move(done)));
}

INSTANCER_DECL asio::awaitable<Result<std::string>> Router::pass(VisitPtr visit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // Others may have needed its place before it had begun.
    if (visit->cause.is_set())
        co_return fail(std::error_code(asio::error::operation_aborted));
    std::function<void()> between_stages = [this, visit] {
        if (visit->place)
            visit->place->change_source(source(*visit));
    };
    auto passing =
        stages_.run(visit->accepted.stream(), visit->context, std::move(between_stages), detail::displacement(visit));
    const auto passed = co_await std::move(passing);
    if (!passed)
        co_return fail(passed.error());
    co_return choose_(visit->context);
}

INSTANCER_DECL void Router::conclude(const VisitPtr& visit, std::exception_ptr thrown,
                                     const Result<std::string>& server)
{
    if (thrown)
        return turn_away(visit, SessionEnd::failed, exception_text(thrown));
    if (!server) {
        detail::note_rejection(visit->context.slot(), visit->accepted.info(), server.error());
        return turn_away(visit, detail::reject_client(visit->accepted.stream(), server.error()),
                         server.error().message());
    }
    const auto found = servers_.find(*server);
    if (found == servers_.end())
        return turn_away(visit, SessionEnd::access_denied, "no server is called \"" + *server + "\"");
    visit->accepted.attributes() = visit->context.attributes();
    wait_in_line(visit, found->second);
}

INSTANCER_DECL void Router::wait_in_line(const VisitPtr& visit, std::shared_ptr<detail::RoutedClients> server)
{
    server->add(visit->id, visit->called);
    // No stage may have waited for it, but now it waits.
    if (!visit->called.is_set() && !visit->place)
        take_place(visit);
    auto task = wait_for_call(visit);
    asio::co_spawn(workers_.control(), std::move(task),
                   [this, visit, server = std::move(server)](std::exception_ptr) { hand_over(visit, *server); });
}

INSTANCER_DECL asio::awaitable<void> Router::wait_for_call(VisitPtr visit)
{
    using namespace asio::experimental::awaitable_operators;
    co_await asio::this_coro::throw_if_cancelled(false);
    auto& client = visit->accepted.stream();
    if (visit->called.is_set())
        co_return;
    // Where the stream cannot move, only the server notices that its client has left.
    if (client.rebind(workers_.control()))
        co_await (visit->called.wait() || client.wait(Readiness::gone));
    else
        co_await visit->called.wait();
}

INSTANCER_DECL void Router::hand_over(const VisitPtr& visit, detail::RoutedClients& server)
{
    // From here on nobody displaces it.
    visit->place.reset();
    const bool goes_on = visit->called.is_set() && !visit->cause.is_set();
    if (goes_on && server.give(visit->accepted))
        return forget(visit->id);
    server.remove(visit->id);
    if (goes_on)
        turn_away(visit, SessionEnd::stopped, "the server \"" + server.name() + "\" takes nobody in any more");
    else
        turn_away(visit, SessionEnd::client_left, "it waited for the server \"" + server.name() + "\"");
}

INSTANCER_DECL void Router::turn_away(const VisitPtr& visit, SessionEnd end, std::string detail) noexcept
{
    visit->place.reset();
    const bool is_first = visit->cause.set(end);
    if (visit->accepted.stream())
        visit->accepted.stream().abort();
    // Neither a lack of memory nor an observer that throws may harm the other clients.
    try {
        SessionSummary summary;
        summary.id = visit->id;
        summary.service = name_;
        summary.client = visit->accepted.info();
        summary.end = visit->cause.get();
        if (is_first)
            summary.detail = std::move(detail);
        summary.duration = std::chrono::steady_clock::now() - visit->begin;
        events_.session_started(name_, visit->id, visit->accepted.info());
        events_.session_ended(summary);
    } catch (...) {
    }
    forget(visit->id);
}

INSTANCER_DECL void Router::forget(std::uint64_t id)
{
    if (visits_.erase(id) != 0)
        door_.arrived();
    check_over();
}

INSTANCER_DECL Source Router::source(Visit& visit) const
{
    return Source(visit.accepted.info(), source_prefix_, source_prefix4_);
}

INSTANCER_DECL void Router::take_place(const VisitPtr& visit)
{
    if (unadmitted_)
        visit->place.emplace(unadmitted_->enter(source(*visit), detail::displacement(visit)));
}

}  // namespace instancer
