// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <iterator>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include <instancer/admission/authentication_stage.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/server.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer {

INSTANCER_DECL Server::Server(Workers& workers, ServerOptions options, std::vector<std::unique_ptr<Acceptor>> acceptors,
                              std::unique_ptr<Authenticator> authenticator, InstancePool& pool, Bridge& bridge,
                              Events& events)
    : workers_(workers),
      options_(std::move(options)),
      door_(
          workers, options_.service, std::move(acceptors), events,
          [this](std::size_t worker, Accepted& accepted) { take_in(worker, accepted); }, [this] { check_over(); }),
      admission_(admission(options_, std::move(authenticator))),
      start_admission_(options_.start_stages, options_.auth_timeout),
      pool_(pool),
      events_(events),
      shared_identity_(options_.service, {}, {}),
      sessions_(
          workers.control(), [this] { check_over(); }, options_.session_count),
      environment_{workers, options_, admission_, start_admission_, pool,
                   bridge,  events,   door_,      sessions_,        shared_identity_},
      limits_(workers.control(), options_, sessions_),
      closing_(workers.control()),
      sessions_over_(workers.control()),
      drain_limit_(workers.control())
{
}

INSTANCER_DECL asio::awaitable<Result<void>> Server::run()
{
    if (auto started = co_await pool_.start(); !started) {
        door_.close();
        co_return started;
    }
    door_.open();
    serves_ = true;
    if (!closing_.is_set() && on_serving_)
        on_serving_();
    auto limits = limits_.run();
    asio::co_spawn(workers_.control(), std::move(limits), asio::detached);
    co_await closing_.wait();
    if (draining_) {
        // Clients that have just been taken in ask for their instances within a turn of their workers.
        static_cast<void>(co_await sessions_.snapshot());
        pool_.drain();
    }
    check_over();
    co_await sessions_over_.wait();
    pool_.close();
    co_await pool_.wait_empty();
    drain_limit_.cancel();
    co_await limits_.stop();
    co_return Result<void>();
}

INSTANCER_DECL void Server::drain(std::chrono::steady_clock::duration limit)
{
    door_.close();
    draining_ = true;
    // Later where clients may just have been taken in; never in time for a preparation that takes long.
    if (!serves_ || closing_.is_set())
        pool_.drain();
    closing_.set();
    check_over();
    if (limit == std::chrono::steady_clock::duration::zero())
        return;
    limits_.end_all_at(std::chrono::steady_clock::now() + limit);
    drain_limit_.set(limit, [this] { stop(); });
}

INSTANCER_DECL void Server::retire()
{
    door_.close();
    closing_.set();
    check_over();
}

INSTANCER_DECL void Server::stop()
{
    door_.close();
    sessions_.end_if([](const detail::Session&) { return SessionEnd::stopped; });
    pool_.close();
    closing_.set();
    check_over();
}

INSTANCER_DECL std::vector<StagePlaces> Server::places() const
{
    auto all = admission_.places();
    auto before_starts = start_admission_.places();
    std::move(before_starts.begin(), before_starts.end(), std::back_inserter(all));
    return all;
}

INSTANCER_DECL detail::AdmissionSequence Server::admission(const ServerOptions& options,
                                                           std::unique_ptr<Authenticator> authenticator)
{
    auto all = detail::AdmissionSequence::after_introduction(options.stages);
    all.push_back(std::make_shared<AuthenticationStage>(std::move(authenticator), options.authenticating));
    all.insert(all.end(), options.identified_stages.begin(), options.identified_stages.end());
    return {std::move(all), options.auth_timeout};
}

INSTANCER_DECL void Server::take_in(std::size_t worker, Accepted& accepted)
{
    const auto session = std::make_shared<detail::Session>(environment_, worker, sessions_.next_id(), accepted);
    sessions_.add(session);
    try {
        events_.session_started(options_.service, session->id(), session->client_info());
        if (accepted.refusal())
            session->turn_away(*accepted.refusal());
        else
            session->run(std::move(accepted.attributes()));
    } catch (...) {
        session->fail_to_run(exception_text());
        throw;
    }
}

}  // namespace instancer
