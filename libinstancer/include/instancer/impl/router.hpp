// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <instancer/admission/introduction_stage.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/reject_client.hpp>
#include <instancer/router.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer {

class Router::Visit {
public:
    Visit(std::uint64_t number, asio::any_io_executor where, Accepted&& client)
        : id(number),
          executor(std::move(where)),
          accepted(std::move(client)),
          context(accepted.info(), accepted.slot().get())
    {
    }

    const std::uint64_t id;
    const asio::any_io_executor executor;
    const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    Accepted accepted;
    AdmissionContext context;
    asio::cancellation_signal cancel;
};

INSTANCER_DECL Router::Router(Workers& workers, const ServerOptions& options,
                              std::vector<std::unique_ptr<Acceptor>> acceptors, Choose choose, Events& events)
    : workers_(workers),
      name_(options.service),
      stages_(detail::AdmissionSequence::after_introduction(options.stages), options.auth_timeout),
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
    for (const auto& entry : visits_)
        asio::post(entry.second->executor,
                   [visit = entry.second] { visit->cancel.emit(asio::cancellation_type::terminal); });
    check_over();
}

INSTANCER_DECL void Router::take_in(std::size_t worker, Accepted& accepted)
{
    const auto visit = std::make_shared<Visit>(++last_id_, workers_.executor(worker), std::move(accepted));
    if (const auto& refusal = visit->accepted.refusal())
        return turn_away(*visit, detail::reject_client(visit->accepted.stream(), *refusal), refusal->message());
    visits_.emplace(visit->id, visit);
    auto task = pass(visit);
    auto done = [this, visit](std::exception_ptr thrown, Result<std::string> server) {
        asio::dispatch(workers_.control(), [this, visit, thrown, server = std::move(server)] {
            visits_.erase(visit->id);
            conclude(*visit, thrown, server);
            check_over();
        });
    };
    asio::co_spawn(visit->executor, std::move(task),
                   asio::bind_cancellation_slot(visit->cancel.slot(), std::move(done)));
}

INSTANCER_DECL asio::awaitable<Result<std::string>> Router::pass(VisitPtr visit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::function<void()> nothing = [] {};
    const auto passed = co_await stages_.run(visit->accepted.stream(), visit->context, std::move(nothing));
    if (!passed)
        co_return fail(passed.error());
    co_return choose_(visit->context);
}

INSTANCER_DECL void Router::conclude(Visit& visit, std::exception_ptr thrown, const Result<std::string>& server)
{
    if (thrown)
        return turn_away(visit, SessionEnd::failed, exception_text(thrown));
    if (!server) {
        detail::note_rejection(visit.context.slot(), visit.accepted.info(), server.error());
        return turn_away(visit, detail::reject_client(visit.accepted.stream(), server.error()),
                         server.error().message());
    }
    hand_over(visit, *server);
}

INSTANCER_DECL void Router::hand_over(Visit& visit, const std::string& server)
{
    const auto found = servers_.find(server);
    if (found == servers_.end())
        return turn_away(visit, SessionEnd::access_denied, "no server is called \"" + server + "\"");
    visit.accepted.attributes() = visit.context.attributes();
    if (!found->second->add(visit.accepted))
        turn_away(visit, SessionEnd::stopped, "the server \"" + server + "\" takes nobody in any more");
}

INSTANCER_DECL void Router::turn_away(Visit& visit, SessionEnd end, std::string detail) noexcept
{
    if (visit.accepted.stream())
        visit.accepted.stream().abort();
    // Neither a lack of memory nor an observer that throws may harm the other clients.
    try {
        SessionSummary summary;
        summary.id = visit.id;
        summary.service = name_;
        summary.client = visit.accepted.info();
        summary.end = end;
        summary.detail = std::move(detail);
        summary.duration = std::chrono::steady_clock::now() - visit.begin;
        events_.session_started(name_, visit.id, visit.accepted.info());
        events_.session_ended(summary);
    } catch (...) {
    }
}

}  // namespace instancer
