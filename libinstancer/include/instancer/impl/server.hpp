// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/dispatch.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/server.hpp>

namespace instancer {

INSTANCER_DECL Server::Server(Workers& workers, ServerOptions options, std::vector<std::unique_ptr<Acceptor>> acceptors,
                              std::unique_ptr<Authenticator> authenticator, InstancePool& pool, Bridge& bridge,
                              Events& events)
    : workers_(workers),
      options_(std::move(options)),
      door_(
          workers, options_.service, std::move(acceptors), events,
          [this](std::size_t worker, Accepted& accepted) { begin_session(worker, accepted); },
          [this] { check_over(); }),
      authenticator_(std::move(authenticator)),
      pool_(pool),
      pool_user_(pool),
      bridge_(bridge),
      events_(events),
      shared_identity_(options_.service, {}, {}),
      closing_(workers.control()),
      sessions_over_(workers.control()),
      swept_(workers.control()),
      drain_limit_(workers.control()),
      sweep_(workers.control())
{
}

INSTANCER_DECL asio::awaitable<Result<void>> Server::run()
{
    if (auto started = co_await pool_user_.start(); !started) {
        door_.close();
        co_return started;
    }
    door_.open();
    if (!closing_.is_set() && on_serving_)
        on_serving_();
    auto sweeping = sweep();
    asio::co_spawn(workers_.control(), std::move(sweeping), asio::detached);
    co_await closing_.wait();
    check_over();
    co_await sessions_over_.wait();
    pool_user_.close();
    co_await pool_user_.wait_empty();
    drain_limit_.cancel();
    sweep_.cancel();
    co_await swept_.wait();
    co_return Result<void>();
}

INSTANCER_DECL void Server::drain(std::chrono::steady_clock::duration limit)
{
    door_.close();
    pool_user_.drain();
    closing_.set();
    check_over();
    if (limit != std::chrono::steady_clock::duration::zero())
        drain_limit_.set(limit, [this] { stop(); });
}

INSTANCER_DECL void Server::stop()
{
    door_.close();
    for (const auto& [id, session] : sessions_)
        end_session(session, SessionEnd::stopped);
    pool_user_.close();
    closing_.set();
    check_over();
}

INSTANCER_DECL asio::awaitable<std::vector<SessionStatus>> Server::snapshot()
{
    const auto listing = std::make_shared<Listing>(workers_.control(), sessions_.size());
    for (const auto& [id, session] : sessions_)
        on_worker(session, [this, listing](const Session& one) {
            asio::post(workers_.control(), [listing, status = status_of(one)] { listing->add(status); });
        });
    co_await listing->complete.wait();
    co_return listing->in_order();
}

INSTANCER_DECL Server::Session::Session(Server& by, std::size_t on, std::uint64_t number, Accepted& accepted)
    : server(by),
      id(number),
      worker(static_cast<std::uint32_t>(on)),
      info(std::move(accepted.info())),
      slot(std::move(accepted.slot())),
      client(std::move(accepted.stream()))
{
}

INSTANCER_DECL std::vector<SessionStatus> Server::Listing::in_order()
{
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return std::move(sessions);
}

INSTANCER_DECL std::optional<SessionStatus> Server::status_of(const Session& session) const
{
    if (session.ended)
        return std::nullopt;
    SessionStatus status;
    describe(session, status);
    status.joined = session.link.has_value();
    if (session.link) {
        status.bytes_up = session.link->bytes_up();
        status.bytes_down = session.link->bytes_down();
    }
    status.age = std::chrono::steady_clock::now() - session.begin;
    return status;
}

INSTANCER_DECL void Server::begin_session(std::size_t worker, Accepted& accepted)
{
    const auto session = std::make_shared<Session>(*this, worker, ++last_id_, accepted);
    sessions_.emplace(session->id, session);
    try {
        events_.session_started(options_.service, session->id, session->info);
        if (accepted.refusal()) {
            session->end = reject(*session, *accepted.refusal());
            return finish(*session);
        }
        door_.set_out();
        session->starting = true;
        session->place = unadmitted_place(session);
        spawn(session, nullptr);
    } catch (...) {
        session->detail = exception_text();
        finish(*session);
        throw;
    }
}

INSTANCER_DECL UnadmittedLimit::Place Server::unadmitted_place(const SessionPtr& session)
{
    if (!options_.unadmitted || !must_introduce_itself(*session))
        return {};
    auto displaced = [this, weak = std::weak_ptr(session)] {
        if (const auto one = weak.lock())
            end_session(one, SessionEnd::displaced);
    };
    return options_.unadmitted->enter(source_of(*session), std::move(displaced));
}

INSTANCER_DECL void Server::spawn(const SessionPtr& session, SessionProgressPtr progress)
{
    const auto slot = session->cancel.emplace().slot();
    auto task = serve(session, std::move(progress));
    auto done = [this, session](std::exception_ptr, SessionProgressPtr unfinished) {
        // What a cancellation needs is not needed any more where no coroutine is.
        session->cancel.reset();
        if (unfinished)
            move(session, std::move(unfinished));
    };
    asio::co_spawn(session->executor(), std::move(task), asio::bind_cancellation_slot(slot, std::move(done)));
}

INSTANCER_DECL void Server::move(const SessionPtr& session, SessionProgressPtr progress)
{
    const auto worker = *std::exchange(progress->next_worker, std::nullopt);
    if (const auto moved = session->client.rebind(workers_.executor(worker)); !moved) {
        session->detail = moved.error().message();
        conclude(*session, SessionEnd::failed);
        return finish(*session);
    }
    session->worker = static_cast<std::uint32_t>(worker);
    asio::post(session->executor(),
               [this, session, progress = std::move(progress)]() mutable { spawn(session, std::move(progress)); });
}

INSTANCER_DECL asio::awaitable<Server::SessionProgressPtr> Server::serve(SessionPtr session,
                                                                         SessionProgressPtr progress)
{
    // Clean-up must run after a cancellation too.
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        const auto end = co_await authenticate_and_join(session, progress);
        if (!end && progress->next_worker)
            co_return std::move(progress);
        if (!end)
            co_return nullptr;
        conclude(*session, *end);
    } catch (...) {
        session->detail = exception_text();
    }
    finish(*session);
    co_return nullptr;
}

INSTANCER_DECL void Server::finish(Session& session) noexcept
{
    mark_started(session);
    session.ended = true;
    // Neither a lack of memory nor an observer that throws may keep a session from ending.
    try {
        const auto summary = summarize(session);
        release(session);
        events_.session_ended(summary);
    } catch (...) {
        release(session);
    }
    asio::dispatch(workers_.control(), [this, id = session.id] {
        sessions_.erase(id);
        check_over();
    });
}

INSTANCER_DECL SessionSummary Server::summarize(Session& session) const
{
    SessionSummary summary;
    describe(session, summary);
    summary.end = session.end;
    summary.detail = std::move(session.detail);
    if (session.link) {
        summary.bytes_up = session.link->bytes_up();
        summary.bytes_down = session.link->bytes_down();
    }
    summary.duration = std::chrono::steady_clock::now() - session.begin;
    return summary;
}

INSTANCER_DECL void Server::release(Session& session)
{
    if (session.client)
        session.client.abort();
    if (session.link) {
        session.link->client().abort();
        session.link->instance().abort();
        session.link.reset();
    }
    if (session.end == SessionEnd::completed)
        session.lease.completed();
    session.lease = Lease();
    session.slot.reset();
    session.place.give_back();
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Server::authenticate_and_join(SessionPtr session,
                                                                                        SessionProgressPtr& progress)
{
    if (!progress) {
        // Others may have needed its place before it had begun.
        if (session->ended)
            co_return SessionEnd::displaced;
        auto admission = co_await admit(*session);
        if (!admission)
            co_return reject(*session, admission.error());
        if (!session->place.give_back())
            co_return SessionEnd::displaced;
        const Identity identity = identify(*admission);
        session->owner = identity.owner();
        session->known = true;
        session->handed_over = pool_.traits().takes_client_socket();
        progress = std::make_unique<SessionProgress>(identity, std::move(*admission));
    }
    co_return co_await connect_instance(session, *progress);
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Server::connect_instance(SessionPtr session,
                                                                                   SessionProgress& progress)
{
    while (!session->ended) {
        if (!session->lease) {
            auto request = make_request(*session, progress);
            if (!request)
                co_return refuse(*session, progress.admission, request.error());
            auto lease = co_await acquire(*session, std::move(*request));
            if (!lease)
                co_return refuse(*session, progress.admission, lease.error());
            session->lease = std::move(*lease);
            if (session->handed_over)
                co_return co_await wait_for_instance(*session);
            // What begins after a cancellation hears nothing of it.
            if (session->ended)
                break;
            progress.next_worker = next_worker(*session);
            if (progress.next_worker)
                co_return std::nullopt;
        }
        auto instance = co_await reach(*session, progress.identity);
        if (instance)
            co_return co_await join(*session, progress.admission, std::move(*instance));
        // It was ready once: it is about to end, as a rule, and then there is room for another one.
        const bool ending = instance.error() == Errc::not_ready || instance.error() == Errc::instance_gone;
        if (session->ended || !ending || progress.pause > last_pause)
            co_return refuse(*session, progress.admission, instance.error());
        session->lease = Lease();
        asio::steady_timer timer(session->executor(), progress.pause);
        progress.pause *= 2;
        co_await timer.async_wait(as_result);
    }
    co_return SessionEnd::stopped;
}

INSTANCER_DECL Result<AcquireRequest> Server::make_request(Session& session, const SessionProgress& progress)
{
    AcquireRequest request(progress.identity, session.info);
    request.reset(progress.admission.reset() && session.attempt == 0);
    request.label(progress.admission.label());
    ++session.attempt;
    session.instance_ended = false;
    request.on_end(end_listener(session));
    if (!session.handed_over)
        return request;
    const int socket = session.client.native_handle();
    if (socket < 0 || !progress.admission.early_data().empty())
        return fail(Errc::not_supported, "this client has no socket of its own to hand over");
    // The instance's socket is to block, which a wait that begins later must not undo.
    if (const auto watched = session.client.watch(); !watched)
        return fail(watched.error());
    request.client_socket().reset(::fcntl(socket, F_DUPFD_CLOEXEC, 3));
    if (!request.client_socket())
        return fail(last_error(), "handing over a client's connection");
    return request;
}

INSTANCER_DECL std::optional<std::size_t> Server::next_worker(const Session& session) const
{
    const auto home = pool_.backend().preferred_executor(session.lease.instance());
    if (!home || home == session.executor())
        return std::nullopt;
    const auto worker = workers_.index_of(home);
    return worker < workers_.size() ? std::optional(worker) : std::nullopt;
}

INSTANCER_DECL asio::awaitable<Result<Admission>> Server::admit(Session& session)
{
    using namespace asio::experimental::awaitable_operators;
    if (options_.auth_timeout == options_.auth_timeout.zero() || !must_introduce_itself(session))
        co_return co_await recognize(session);
    asio::steady_timer deadline(session.executor(), options_.auth_timeout);
    std::exception_ptr thrown;
    auto first = co_await (authenticate(session, thrown) || deadline.async_wait(as_result));
    if (first.index() == 0) {
        if (thrown)
            std::rethrow_exception(thrown);
        co_return std::move(std::get<0>(first));
    }
    co_return fail(Errc::timeout, "the client did not say in time who it is");
}

INSTANCER_DECL asio::awaitable<Result<Admission>> Server::recognize(Session& session)
{
    if (session.slot && session.slot->needs_introduction())
        return introduce(session);
    return authenticator_->authenticate(session.client, session.info);
}

INSTANCER_DECL asio::awaitable<Result<Admission>> Server::introduce(Session& session)
{
    auto introduced = co_await session.slot->introduce(session.client, session.info);
    if (!introduced)
        co_return fail(std::move(introduced.error()));
    session.place.change_source(source_of(session));
    co_return co_await authenticator_->authenticate(session.client, session.info);
}

INSTANCER_DECL asio::awaitable<Result<Admission>> Server::authenticate(Session& session, std::exception_ptr& thrown)
{
    try {
        co_return co_await recognize(session);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return fail(Errc::rejected);
}

INSTANCER_DECL SessionEnd Server::reject(Session& session, const Error& error)
{
    session.detail = error.message();
    // The deadline, too, is cancelled with the session.
    if (session.ended || error == std::error_code(asio::error::operation_aborted))
        return SessionEnd::stopped;
    if (error == Errc::timeout || error == Errc::rejected)
        lingering_close(session.client);
    if (error == Errc::timeout)
        return SessionEnd::auth_timeout;
    if (error == Errc::denied)
        return SessionEnd::access_denied;
    if (error == Errc::full)
        return SessionEnd::limit_reached;
    return error == Errc::rejected ? SessionEnd::authentication_failed : SessionEnd::client_left;
}

INSTANCER_DECL Identity Server::identify(const Admission& admission) const
{
    const bool returns = admission.returning() && !pool_.single_use();
    if (returns && admission.owner().empty() && admission.identifier().empty())
        return shared_identity_;
    if (returns)
        return Identity(options_.service, admission.owner(), admission.identifier());
    const auto nonce = detail::random_bytes(16);
    if (!admission.returning())
        return Identity(options_.service, nonce, nonce, false);
    return Identity(options_.service, admission.owner(), nonce, false);
}

INSTANCER_DECL asio::awaitable<Result<Lease>> Server::acquire(Session& session, AcquireRequest request)
{
    using namespace asio::experimental::awaitable_operators;
    const auto ticket = pool_.begin_acquire(session.executor(), std::move(request));
    if (ticket.ready())
        co_return co_await ticket.wait();
    auto first = co_await (ticket.wait() || session.client.wait(Readiness::gone));
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return fail(Errc::cancelled, "the client left");
}

INSTANCER_DECL SessionEnd Server::refuse(Session& session, const Admission& admission, const Error& error)
{
    session.detail = error.message();
    if (const auto text = admission.on_refusal(error); !text.empty()) {
        if (session.handed_over)
            detail::forbid_waiting_close(session.client.native_handle());
        // Best effort: a client that does not take a line at once does not get it.
        static_cast<void>(session.client.try_write(text));
        lingering_close(session.client);
    } else {
        session.client.abort();
    }
    static constexpr std::pair<Errc, SessionEnd> ends[] = {
        {Errc::full, SessionEnd::limit_reached},
        {Errc::culled, SessionEnd::culled},
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

INSTANCER_DECL asio::awaitable<SessionEnd> Server::wait_for_instance(Session& session)
{
    mark_started(session);
    detail::forbid_waiting_close(session.client.native_handle());
    detail::PeerWatch watch(session.executor(), session.client.native_handle(), session.client.is_tcp());
    if (const auto begun = watch.begin(); !begun)
        events_.warning(options_.service, begun.error().message() + "; a client that leaves is not noticed");
    watch.give_away();
    session.client.close();
    bool gone = false;
    while (!gone && !session.ended)
        gone = co_await watch.wait();
    co_return gone ? SessionEnd::client_reset : SessionEnd::instance_ended;
}

INSTANCER_DECL asio::awaitable<Result<Stream>> Server::reach(Session& session, Identity identity)
{
    if (Stream stream = session.lease.take_stream()) {
        if (stream.get_executor() != session.executor())
            if (auto moved = stream.rebind(session.executor()); !moved)
                co_return fail(std::move(moved.error()));
        co_return stream;
    }
    OpenRequest request(identity, session.info, &session.client, session.id);
    co_return co_await pool_.backend().open(session.lease.instance(), std::move(request));
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Server::join(Session& session, const Admission& admission,
                                                                       Stream instance)
{
    auto& link =
        session.link.emplace(std::move(session.client), std::move(instance), session.lease.usage(), session.state);
    const auto failure = co_await greet(link, admission);
    if (failure || session.ended) {
        link.client().abort();
        link.instance().abort();
        co_return end_of(session, failure.value_or(BridgeEnd::cancelled));
    }
    mark_started(session);
    if (session.instance_ended)
        link.instance_ended();
    if (bridge_.start(link, session))
        co_return std::nullopt;
    // Only hooks ask whose session it is.
    SessionInfo info;
    describe(session, info);
    link.introduce(info);
    const auto how = co_await bridge_.run(link);
    if (how == BridgeEnd::hook_failed)
        session.detail = "its hook failed, as the warning says";
    co_return end_of(session, how);
}

INSTANCER_DECL void Server::describe(const Session& session, SessionInfo& info) const
{
    info.id = session.id;
    info.service = options_.service;
    info.client = session.info;
    if (session.known)
        info.owner = session.owner.hex();
    info.instance = session.lease.instance().name();
    if (session.link)
        info.upstream = session.link->instance().peer_name();
}

INSTANCER_DECL SessionEnd Server::end_of(const Session& session, BridgeEnd how) noexcept
{
    switch (how) {
    case BridgeEnd::completed: return SessionEnd::completed;
    case BridgeEnd::client_reset: return SessionEnd::client_reset;
    case BridgeEnd::instance_reset:
        return session.instance_ended ? SessionEnd::instance_ended : SessionEnd::instance_reset;
    case BridgeEnd::ended_by_hook: return SessionEnd::ended_by_hook;
    case BridgeEnd::hook_failed: return SessionEnd::failed;
    case BridgeEnd::cancelled: break;
    }
    return SessionEnd::stopped;
}

INSTANCER_DECL asio::awaitable<std::optional<BridgeEnd>> Server::greet(Link& link, const Admission& admission)
{
    if (const auto& text = admission.banner(); !text.empty())
        if (const auto sent = co_await link.client().write_all(text); !sent)
            co_return BridgeEnd::client_reset;
    if (const auto& early = admission.early_data(); bridge_.takes_early_data()) {
        link.set_early_data(early);
    } else if (!early.empty()) {
        if (const auto sent = co_await link.instance().write_all(early); !sent)
            co_return BridgeEnd::instance_reset;
        link.count_up(early.size());
    }
    co_return std::nullopt;
}

INSTANCER_DECL std::function<void(InstanceEnd)> Server::end_listener(const Session& session)
{
    return [this, key = session.id << attempt_bits | session.attempt](InstanceEnd end) {
        const auto found = sessions_.find(key >> attempt_bits);
        if (found == sessions_.end())
            return;
        switch (end) {
        case InstanceEnd::culled: return end_session(found->second, SessionEnd::culled);
        case InstanceEnd::expired: return end_session(found->second, SessionEnd::expired);
        case InstanceEnd::idle: return end_session(found->second, SessionEnd::idle);
        case InstanceEnd::reset: return end_session(found->second, SessionEnd::reset);
        case InstanceEnd::exited: return note_instance_end(found->second, static_cast<std::uint8_t>(key));
        default: return end_session(found->second, SessionEnd::stopped);
        }
    };
}

INSTANCER_DECL void Server::note_instance_end(const SessionPtr& session, std::uint8_t attempt)
{
    if (session->handed_over)
        return end_session(session, SessionEnd::instance_ended);
    on_worker(session, [attempt](Session& one) {
        if (one.ended || attempt != one.attempt)
            return;
        one.instance_ended = true;
        if (one.link)
            one.link->instance_ended();
    });
}

INSTANCER_DECL void Server::end_session(const SessionPtr& session, SessionEnd end)
{
    session->stopped_as = end;
    session->state.stop();
    on_worker(session, [end](Session& one) {
        if (one.ended)
            return;
        one.ended = true;
        one.end = end;
        if (one.cancel)
            one.cancel->emit(asio::cancellation_type::terminal);
        if (one.link)
            one.link->cancel();
    });
}

INSTANCER_DECL asio::awaitable<void> Server::sweep()
{
    using namespace std::chrono_literals;
    auto shortest = ServerOptions::Duration::max();
    for (const auto limit :
         {options_.session_idle, options_.half_close_timeout, options_.session_timeout, options_.delivery_timeout})
        if (limit > limit.zero())
            shortest = std::min(shortest, limit);
    while (shortest != shortest.max() && !sessions_over_.is_set()) {
        sweep_.expires_after(std::clamp<ServerOptions::Duration>(shortest / 4, 1ms, 1s));
        co_await sweep_.async_wait(as_result);
        const auto now = LinkState::Clock::now();
        for (const auto& [id, session] : sessions_)
            if (const auto end = passed_time_limit(*session, now))
                end_session(session, *end);
    }
    swept_.set();
}

INSTANCER_DECL std::optional<SessionEnd> Server::passed_time_limit(const Session& session,
                                                                   LinkState::Clock::time_point now) const
{
    const auto passed = [now](ServerOptions::Duration limit, LinkState::Clock::time_point since) {
        return limit > limit.zero() && since != LinkState::Clock::time_point() && now - since >= limit;
    };
    if (passed(options_.session_timeout, session.begin))
        return SessionEnd::too_long;
    if (passed(options_.half_close_timeout, session.state.half_closed()))
        return SessionEnd::half_closed;
    if (passed(options_.session_idle, session.state.last_active()))
        return SessionEnd::idle;
    const auto ended = session.state.instance_ended();
    if (ended != LinkState::Clock::time_point() &&
        passed(options_.delivery_timeout, std::max(ended, session.state.last_active())))
        return SessionEnd::idle;
    return std::nullopt;
}

}  // namespace instancer
