// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <sys/socket.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/detail/server/displacement.hpp>
#include <instancer/detail/server/farewell.hpp>
#include <instancer/detail/server/reject_client.hpp>
#include <instancer/detail/server/session.hpp>
#include <instancer/detail/server/session_table.hpp>
#include <instancer/detail/socket/peer_watch.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/lingering_close.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer::detail {

INSTANCER_DECL Session::Session(const SessionEnvironment& environment, std::size_t worker, std::uint64_t id,
                                Accepted& accepted)
    : environment_(environment),
      id_(id),
      worker_(static_cast<std::uint32_t>(worker)),
      info_(std::move(accepted.info())),
      slot_(std::move(accepted.slot())),
      client_(std::move(accepted.stream()))
{
}

INSTANCER_DECL void Session::run(AdmissionContext::Attributes attributes)
{
    environment_.door.set_out();
    stage_ = Stage::admitting;
    auto progress = std::make_unique<Progress>(*this, std::move(attributes));
    progress->place = unadmitted_place(environment_.admission, progress->context);
    spawn(std::move(progress));
}

INSTANCER_DECL void Session::turn_away(const Error& why) { finish(reject(why)); }

INSTANCER_DECL void Session::fail_to_run(std::string why)
{
    detail_ = std::move(why);
    finish(SessionEnd::failed);
}

INSTANCER_DECL void Session::end(SessionEnd why)
{
    if (!cause_.set(why))
        return;
    state_.stop();
    on_worker([](Session& one) {
        if (one.cancel_)
            one.cancel_->emit(asio::cancellation_type::terminal);
        if (one.link_)
            one.link_->cancel();
    });
}

INSTANCER_DECL void Session::instance_exited(std::uint8_t attempt)
{
    if (hands_over_socket())
        return end(SessionEnd::instance_ended);
    on_worker([attempt](Session& one) {
        if (one.cause_.is_set() || attempt != one.attempt_)
            return;
        one.instance_exited_ = true;
        if (one.link_)
            one.link_->instance_ended();
    });
}

INSTANCER_DECL void Session::warn_once(const ComingEnd& end)
{
    if (std::exchange(warned_of_, end.time) != end.time)
        on_worker([end](Session& one) { one.warn(end); });
}

INSTANCER_DECL std::optional<SessionStatus> Session::status() const
{
    if (cause_.is_set())
        return std::nullopt;
    SessionStatus status;
    describe(status);
    status.joined = link_.has_value();
    if (link_) {
        status.bytes_up = link_->bytes_up();
        status.bytes_down = link_->bytes_down();
    }
    const auto now = std::chrono::steady_clock::now();
    status.stage = name_of(stage_);
    status.age = now - begin_;
    status.idle = is_joined() ? now - state_.last_active() : status.age;
    return status;
}

INSTANCER_DECL std::string_view Session::name_of(Stage stage) noexcept
{
    switch (stage) {
    case Stage::accepted:
    case Stage::admitting: return "admission";
    case Stage::acquiring: return "queue";
    case Stage::reaching: return "connecting";
    case Stage::serving:
    case Stage::over: return "serving";
    }
    return "unknown";
}

INSTANCER_DECL void Session::enter(Stage next) noexcept
{
    if (on_its_way(stage_) && !on_its_way(next))
        environment_.door.arrived();
    stage_ = next;
}

INSTANCER_DECL void Session::spawn(ProgressPtr progress)
{
    auto self = shared_from_this();
    const auto slot = cancel_.emplace().slot();
    auto task = serve(self, std::move(progress));
    auto done = [self](std::exception_ptr, ProgressPtr unfinished) {
        // What a cancellation needs is not needed any more where no coroutine is.
        self->cancel_.reset();
        if (unfinished)
            self->move(std::move(unfinished));
    };
    asio::co_spawn(executor(), std::move(task), asio::bind_cancellation_slot(slot, std::move(done)));
}

INSTANCER_DECL void Session::move(ProgressPtr progress)
{
    const auto worker = *std::exchange(progress->next_worker, std::nullopt);
    if (const auto moved = client_.rebind(environment_.workers.executor(worker)); !moved) {
        detail_ = moved.error().message();
        return finish(SessionEnd::failed);
    }
    worker_ = static_cast<std::uint32_t>(worker);
    asio::post(executor(), [self = shared_from_this(), progress = std::move(progress)]() mutable {
        self->spawn(std::move(progress));
    });
}

INSTANCER_DECL asio::awaitable<Session::ProgressPtr> Session::serve([[maybe_unused]] std::shared_ptr<Session> self,
                                                                    ProgressPtr progress)
{
    // Clean-up must run after a cancellation too.
    co_await asio::this_coro::throw_if_cancelled(false);
    std::optional<SessionEnd> end;
    try {
        // Others may have needed its place before it had begun.
        if (stage_ == Stage::admitting && !cause_.is_set())
            end = co_await admit(*progress);
        if (!end)
            end = co_await connect_instance(*progress);
        if (!end && progress->next_worker)
            co_return std::move(progress);
        if (!end)
            co_return nullptr;
    } catch (...) {
        detail_ = exception_text();
        end = SessionEnd::failed;
    }
    // The limit may go with the server, which does not wait for this coroutine any more once the session is over.
    progress->place.give_back();
    finish(*end);
    co_return nullptr;
}

INSTANCER_DECL UnadmittedLimit::Place Session::unadmitted_place(const AdmissionSequence& stages,
                                                                const AdmissionContext& context)
{
    const auto& unadmitted = environment_.options.unadmitted;
    if (!unadmitted || !stages.waits_for(context))
        return {};
    return unadmitted->enter(source(), displacement(shared_from_this()));
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Session::admit(Progress& progress)
{
    const auto admitted = co_await pass(environment_.admission, progress, admission_times());
    const bool displaced = !progress.place.give_back();
    if (!admitted)
        co_return reject(admitted.error(), progress.context.retry_after());
    if (displaced)
        co_return SessionEnd::displaced;
    progress.identity = identify(progress.admission());
    progress.reset = progress.admission().reset();
    progress.may_start = environment_.start_admission.empty();
    owner_ = progress.identity.owner();
    label_ = progress.admission().label();
    enter(Stage::acquiring);
    co_return std::nullopt;
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Session::admit_to_start(Progress& progress)
{
    progress.place = unadmitted_place(environment_.start_admission, progress.context);
    const auto admitted = co_await pass(environment_.start_admission, progress, start_admission_times());
    const bool displaced = !progress.place.give_back();
    progress.may_start = admitted.has_value();
    if (admitted && displaced)
        co_return SessionEnd::displaced;
    if (admitted)
        co_return std::nullopt;
    const auto retry_after = progress.context.retry_after();
    // A stage has words of its own for clients that it rejects.
    co_return admitted.error() == Errc::full ? refuse(progress.admission(), admitted.error(), retry_after)
                                             : reject(admitted.error(), retry_after);
}

INSTANCER_DECL asio::awaitable<Result<void>> Session::pass(const AdmissionSequence& stages, Progress& progress,
                                                           std::span<StepTime> times)
{
    // A stage may have learned where the client comes from.
    auto between_stages = [this, &progress] { progress.place.change_source(source()); };
    return stages.run(client_, progress.context, std::move(between_stages), displacement(shared_from_this()), times);
}

INSTANCER_DECL SessionEnd Session::reject(const Error& error, ServerOptions::Duration retry_after)
{
    if (cause_.is_set())
        return SessionEnd::stopped;
    note_rejection(slot_.get(), info_, error);
    rejected_ = error == Errc::rejected;
    detail_ = error.message();
    return take_leave(error, retry_after) ? end_of_admission(error) : reject_client(client_, error);
}

INSTANCER_DECL bool Session::take_leave(const Error& error, ServerOptions::Duration retry_after)
{
    const auto& texts = environment_.options.tell;
    auto line = texts && client_ ? texts->line_for(error, retry_after) : std::string();
    if (line.empty())
        return false;
    if (hands_over_socket())
        forbid_waiting_close(client_.native_handle());
    say_farewell(std::move(client_), std::move(line));
    return true;
}

INSTANCER_DECL Identity Session::identify(const Admission& admission) const
{
    const auto& service = environment_.options.service;
    const bool returns = admission.returning() && !environment_.pool.single_use();
    if (returns && admission.owner().empty() && admission.identifier().empty())
        return environment_.shared_identity;
    if (returns)
        return Identity(service, admission.owner(), admission.identifier());
    const auto nonce = random_bytes(16);
    if (!admission.returning())
        return Identity(service, nonce, nonce, false);
    return Identity(service, admission.owner(), nonce, false);
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Session::connect_instance(Progress& progress)
{
    while (!cause_.is_set()) {
        if (stage_ == Stage::acquiring) {
            auto request = make_request(progress);
            if (!request)
                co_return refuse(progress.admission(), request.error());
            auto lease = co_await acquire_in_time(std::move(*request));
            if (!lease && lease.error() == Errc::no_instance) {
                if (const auto refused = co_await admit_to_start(progress))
                    co_return *refused;
                continue;
            }
            if (!lease)
                co_return refuse(progress.admission(), lease.error());
            lease_ = std::move(*lease);
            progress.reset = false;
            if (hands_over_socket())
                co_return co_await wait_for_instance();
            // What begins after a cancellation hears nothing of it.
            if (cause_.is_set())
                break;
            enter(Stage::reaching);
            progress.next_worker = next_worker();
            if (progress.next_worker)
                co_return std::nullopt;
        }
        auto instance = co_await reach(progress.identity);
        if (instance)
            co_return co_await join(progress, std::move(*instance));
        // It was ready once: it is about to end, as a rule, and then there is room for another one.
        const bool ending = instance.error() == Errc::not_ready || instance.error() == Errc::instance_gone;
        if (cause_.is_set() || !ending || progress.pause > last_pause)
            co_return refuse(progress.admission(), instance.error());
        lease_ = Lease();
        enter(Stage::acquiring);
        asio::steady_timer timer(executor(), progress.pause);
        progress.pause *= 2;
        co_await timer.async_wait(as_result);
    }
    co_return SessionEnd::stopped;
}

INSTANCER_DECL Result<AcquireRequest> Session::make_request(const Progress& progress)
{
    AcquireRequest request(progress.identity, info_);
    request.reset(progress.reset);
    request.join_only(!progress.may_start);
    request.label(progress.admission().label());
    request.environment(progress.admission().environment());
    if (environment_.pool.counts_common_owners() && progress.admission().returning())
        request.common_owner(Identity({}, progress.admission().owner(), {}).owner());
    ++attempt_;
    instance_exited_ = false;
    request.on_end(environment_.table.instance_listener(*this, attempt_));
    if (!hands_over_socket())
        listen_to_pool(request);
    else if (!request.join_only())
        if (const auto added = add_socket(request); !added)
            return fail(added.error());
    return request;
}

INSTANCER_DECL Result<void> Session::add_socket(AcquireRequest& request)
{
    const int own = client_.native_handle();
    if (own < 0 || client_.unread_size() > 0)
        return fail(Errc::not_supported, "this client has no socket of its own to hand over");
    // The instance's socket is to block, which a wait that begins later must not undo.
    if (const auto watched = client_.watch(); !watched)
        return fail(watched.error());
    const int socket = ::fcntl(own, F_DUPFD_CLOEXEC, 3);
    request.client_socket().reset(socket);
    if (socket < 0)
        return fail(last_error(), "handing over a client's connection");
    // At once, on the executor that hands the socket over: later the line could come between those of the program.
    if (tells_places())
        request.on_queue([texts = environment_.options.tell, socket](const QueuePlace& place) {
            const auto line = texts->line_for(place);
            static_cast<void>(::send(socket, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
        });
    return {};
}

INSTANCER_DECL std::function<void(const QueuePlace&)> Session::place_listener()
{
    return [weak = weak_from_this()](const QueuePlace& place) {
        if (const auto self = weak.lock())
            self->on_worker([place](Session& one) { one.tell_place(place); });
    };
}

INSTANCER_DECL void Session::listen_to_pool(AcquireRequest& request)
{
    if (tells_places())
        request.on_queue(place_listener());
    if (!environment_.options.warning.empty() || !environment_.options.idle_warning.empty())
        request.on_warning([weak = weak_from_this()](const ComingEnd& end) {
            if (const auto self = weak.lock())
                self->on_worker([end](Session& one) { one.warn(end); });
        });
}

INSTANCER_DECL void Session::tell_place(const QueuePlace& place)
{
    if ((stage_ == Stage::acquiring || stage_ == Stage::reaching) && client_)
        static_cast<void>(client_.try_write(environment_.options.tell->line_for(place)));
}

INSTANCER_DECL void Session::warn(const ComingEnd& end)
{
    // Only a descriptor takes bytes between those that the bridge is just writing.
    if (stage_ != Stage::serving || !link_ || link_->client().native_handle() < 0)
        return;
    const auto& options = environment_.options;
    const auto& text = end.by_silence ? options.idle_warning : options.warning;
    static_cast<void>(link_->client().try_write(line_with_wait(text, end.time - ComingEnd::Clock::now())));
}

INSTANCER_DECL asio::awaitable<Result<Lease>> Session::acquire(AcquireRequest request)
{
    using namespace asio::experimental::awaitable_operators;
    const auto ticket = environment_.pool.begin_acquire(executor(), std::move(request));
    if (ticket.ready())
        co_return co_await ticket.wait();
    auto first = co_await (ticket.wait() || client_.wait(Readiness::gone));
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return fail(Errc::cancelled, "the client left");
}

INSTANCER_DECL asio::awaitable<Result<Lease>> Session::acquire_in_time(AcquireRequest request)
{
    const auto begin = std::chrono::steady_clock::now();
    auto lease = co_await acquire(std::move(request));
    const auto took = std::chrono::steady_clock::now() - begin;
    const auto start = lease ? std::min(lease->start_time(), took) : took.zero();
    waiting_.add(took - start);
    if (lease)
        start_.add(start);
    co_return lease;
}

INSTANCER_DECL SessionEnd Session::refuse(const Admission& admission, const Error& error,
                                          ServerOptions::Duration retry_after)
{
    detail_ = error.message();
    // The operator's words count for more than the protocol's.
    if (take_leave(error, retry_after))
        return end_of_connecting(error);
    if (const auto text = admission.on_refusal(error); !text.empty()) {
        if (hands_over_socket())
            forbid_waiting_close(client_.native_handle());
        // Best effort: a client that does not take a line at once does not get it.
        static_cast<void>(client_.try_write(text));
        lingering_close(client_);
    } else {
        client_.abort();
    }
    return end_of_connecting(error);
}

INSTANCER_DECL std::optional<std::size_t> Session::next_worker() const
{
    const auto home = environment_.pool.backend().preferred_executor(lease_.instance());
    if (!home || home == executor())
        return std::nullopt;
    const auto worker = environment_.workers.index_of(home);
    return worker < environment_.workers.size() ? std::optional(worker) : std::nullopt;
}

INSTANCER_DECL asio::awaitable<SessionEnd> Session::wait_for_instance()
{
    note_joined();
    forbid_waiting_close(client_.native_handle());
    PeerWatch watch(executor(), client_.native_handle(), client_.is_tcp());
    if (const auto begun = watch.begin(); !begun)
        environment_.events.warning(environment_.options.service,
                                    begun.error().message() + "; a client that leaves is not noticed");
    watch.give_away();
    client_.close();
    bool gone = false;
    while (!gone && !cause_.is_set())
        gone = co_await watch.wait();
    co_return gone ? SessionEnd::client_reset : SessionEnd::instance_ended;
}

INSTANCER_DECL asio::awaitable<Result<Stream>> Session::reach(Identity identity)
{
    if (Stream stream = lease_.take_stream()) {
        if (stream.get_executor() != executor())
            if (auto moved = stream.rebind(executor()); !moved)
                co_return fail(std::move(moved.error()));
        co_return stream;
    }
    OpenRequest request(identity, info_, &client_, id_);
    if (tells_places())
        request.on_queue(place_listener());
    auto opened = co_await environment_.pool.backend().open(lease_.instance(), std::move(request));
    environment_.events.backend_called(environment_.options.service, "open", !opened);
    co_return opened;
}

INSTANCER_DECL void Session::note_joined()
{
    enter(Stage::serving);
    joined_.add(std::chrono::steady_clock::now() - begin_);
    environment_.events.session_joined(environment_.options.service, id_, times());
}

INSTANCER_DECL asio::awaitable<std::optional<SessionEnd>> Session::join(const Progress& progress, Stream instance)
{
    auto& link = link_.emplace(std::move(client_), std::move(instance), lease_.usage(), state_);
    const auto text = greeting(progress);
    const bool greeted = co_await greet(link, text);
    if (!greeted || cause_.is_set()) {
        link.client().abort();
        link.instance().abort();
        co_return greeted ? SessionEnd::stopped : SessionEnd::client_reset;
    }
    note_joined();
    if (instance_exited_)
        link.instance_ended();
    if (environment_.bridge.start(link, *this))
        co_return std::nullopt;
    // Only hooks ask whose session it is.
    SessionInfo info;
    describe(info);
    link.introduce(info);
    const auto how = co_await environment_.bridge.run(link);
    if (how == BridgeEnd::hook_failed)
        detail_ = "its hook failed, as the warning says";
    co_return end_of_bridge(how, instance_exited_);
}

INSTANCER_DECL std::string Session::greeting(const Progress& progress) const
{
    const auto& banner = progress.admission().banner();
    return progress.may_start ? banner : environment_.start_admission.unneeded(progress.context) + banner;
}

INSTANCER_DECL asio::awaitable<bool> Session::greet(Link& link, std::string_view text)
{
    if (text.empty())
        co_return true;
    const auto sent = co_await link.client().write_all(text);
    co_return sent.has_value();
}

INSTANCER_DECL void Session::finish(SessionEnd end) noexcept
{
    cause_.set(end);
    // Neither a lack of memory nor an observer that throws may keep a session from ending.
    try {
        const auto summary = summarize();
        release();
        environment_.events.session_ended(summary);
    } catch (...) {
        release();
    }
    enter(Stage::over);
    environment_.table.forget(id_);
}

INSTANCER_DECL SessionSummary Session::summarize()
{
    SessionSummary summary;
    describe(summary);
    summary.end = cause_.get();
    summary.rejected = rejected_;
    summary.detail = std::move(detail_);
    if (link_) {
        summary.bytes_up = link_->bytes_up();
        summary.bytes_down = link_->bytes_down();
    }
    summary.duration = std::chrono::steady_clock::now() - begin_;
    summary.times = times();
    summary.source = source();
    return summary;
}

INSTANCER_DECL std::span<StepTime> Session::admission_times()
{
    const std::span all(stage_times_);
    return all.first(std::min(environment_.admission.stages().size(), all.size()));
}

INSTANCER_DECL std::span<StepTime> Session::start_admission_times()
{
    return std::span(stage_times_).subspan(admission_times().size());
}

INSTANCER_DECL SessionTimes Session::times() const
{
    SessionTimes times;
    std::size_t index = 0;
    for (const auto* sequence : {&environment_.admission, &environment_.start_admission})
        for (const auto& stage : sequence->stages()) {
            const auto took = index < stage_times_.size() ? stage_times_[index++].get() : std::nullopt;
            if (!took)
                continue;
            auto& entry = times.stages[times.stage_count++];
            entry.name = stage->name();
            entry.took = *took;
        }
    times.waiting = waiting_.get();
    times.start = start_.get();
    times.joined = joined_.get();
    if (link_ && link_->bytes_down() != 0)
        times.first_byte = link_->first_down() - begin_;
    return times;
}

INSTANCER_DECL void Session::describe(SessionInfo& info) const
{
    info.id = id_;
    info.service = environment_.options.service;
    info.client = info_;
    if (stage_ > Stage::admitting)
        info.owner = owner_.hex();
    info.label = label_;
    info.instance = lease_.instance().name();
    if (link_)
        info.upstream = link_->instance().peer_name();
}

INSTANCER_DECL void Session::release()
{
    if (client_)
        client_.abort();
    if (link_) {
        link_->client().abort();
        link_->instance().abort();
        link_.reset();
    }
    if (cause_.get() == SessionEnd::completed)
        lease_.completed();
    lease_ = Lease();
    slot_.reset();
}

}  // namespace instancer::detail
