// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <string_view>

#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/pool/instance_runner.hpp>

namespace instancer::detail {

INSTANCER_DECL void InstanceRunner::start(const InstanceRecordPtr& record, InstanceRequest request)
{
    spawn(live(record, std::move(request)));
}

INSTANCER_DECL void InstanceRunner::adopt(const InstanceRecordPtr& record)
{
    record->ready = true;
    events_.instance_adopted(service_, record->instance.name(), record->owner);
    spawn(watch_exit(record));
    spawn(end(record));
}

INSTANCER_DECL void InstanceRunner::assign(const InstanceRecordPtr& record, InstanceRequest request)
{
    record->owner = request.identity()->owner().hex();
    record->claim = std::move(request);
    if (record->ready)
        tell_owner(record);
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::stop(Instance instance)
{
    const auto stopped = co_await reported("stop", backend_.stop(instance));
    if (!stopped)
        events_.warning(service_, "stopping " + instance.name() + ": " + stopped.error().message());
}

INSTANCER_DECL void InstanceRunner::spawn(asio::awaitable<void> task)
{
    asio::co_spawn(control_, std::move(task), [keep = pool_.keep_alive()](const std::exception_ptr&) {});
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::live(InstanceRecordPtr record, InstanceRequest request)
{
    const auto client = request.client();
    const auto identity = request.identity();
    auto started = co_await reported("start", backend_.start(std::move(request)));
    if (!started) {
        fail_start(record, started.error());
        co_return;
    }
    record->instance = std::move(*started);
    events_.instance_started(service_, record->instance.name(), record->owner);
    spawn(watch_exit(record));
    OpenRequest open_request;
    if (identity && client)
        open_request = OpenRequest(*identity, *client);
    if (!traits_.takes_client_socket() && !traits_.ready_at_start())
        co_await become_ready(record, std::move(open_request));
    if (!record->stop_requested && (record->first || !record->exited)) {
        record->note_ready();
        events_.instance_ready(service_, record->instance.name(), record->ready_since - record->since);
        if (record->claim)
            tell_owner(record);
        pool_.instance_ready(record);
    }
    co_await end(record);
}

INSTANCER_DECL void InstanceRunner::fail_start(const InstanceRecordPtr& record, const Error& error)
{
    if (!record->stop_requested)
        record->end = InstanceEnd::start_failed;
    record->detail = error.message();
    events_.instance_ended(record->summary(service_));
    pool_.instance_start_failed(record,
                                error == Errc::backend_unavailable ? Errc::backend_unavailable : Errc::start_failed);
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::open(InstanceRecordPtr record, OpenRequest request)
{
    // Backends need not expect that a cancellation throws.
    co_await asio::this_coro::throw_if_cancelled(false);
    auto stream = co_await guarded(backend_.open(record->instance, std::move(request)));
    if (stream) {
        record->first = std::move(*stream);
    } else if (!record->exited) {
        record->detail = stream.error().message();
        // No later attempt would fare better.
        record->exited = stream.error() == Errc::instance_gone || stream.error() == Errc::start_failed;
    }
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::become_ready(InstanceRecordPtr record, OpenRequest request)
{
    using namespace asio::experimental::awaitable_operators;
    auto pause = std::chrono::microseconds(500);
    while (!record->stop_requested) {
        // Not even an attempt that gets no answer may hold up the end.
        record->wake.expires_at(InstanceRecord::Clock::time_point::max());
        co_await (open(record, request) || record->wake.async_wait(as_result));
        if (record->first || record->stop_requested || record->exited)
            co_return;
        record->wake.expires_after(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(50'000));
        co_await record->wake.async_wait(as_result);
    }
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::watch_exit(InstanceRecordPtr record)
{
    try {
        const auto exit = co_await backend_.wait(record->instance);
        record->exit = exit.text();
    } catch (...) {
        record->exit = exception_text();
    }
    record->exited = true;
    if (!record->stop_requested)
        record->detail = record->exit;
    record->wake.cancel();
}

INSTANCER_DECL void InstanceRunner::tell_owner(const InstanceRecordPtr& record)
{
    events_.instance_claimed(service_, record->instance.name(), record->owner);
    record->personalizing = traits_.personalizes();
    spawn(pass_on(record));
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::pass_on(InstanceRecordPtr record)
{
    const Identity owner = *record->claim->identity();
    if (record->personalizing) {
        const auto personalized = co_await personalize(record);
        if (!personalized)
            co_return;
    }
    const auto told = co_await reported("assign", backend_.assign(record->instance, owner));
    if (!told)
        events_.warning(service_, "assigning " + record->instance.name() + ": " + told.error().message());
}

INSTANCER_DECL asio::awaitable<Result<void>> InstanceRunner::personalize(InstanceRecordPtr record)
{
    // The grants that come with the claim are held before it is done.
    co_await asio::post(control_, asio::use_awaitable);
    auto request = std::move(*record->claim);
    auto done = co_await reported("personalize", backend_.personalize(record->instance, std::move(request)));
    record->personalizing = false;
    pool_.instance_personalized(record, done);
    record->wake.cancel();
    co_return done;
}

INSTANCER_DECL void InstanceRunner::note_extension(const InstanceRecordPtr& record, std::chrono::seconds total)
{
    spawn(pass_on_extension(record, total));
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::pass_on_extension(InstanceRecordPtr record,
                                                                       std::chrono::seconds total)
{
    const auto noted = co_await reported("note_extension", backend_.note_extension(record->instance, total));
    if (!noted)
        events_.warning(service_, "extending " + record->instance.name() + ": " + noted.error().message());
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::end(InstanceRecordPtr record)
{
    while (!record->stop_requested && !record->exited) {
        record->wake.expires_at(InstanceRecord::Clock::time_point::max());
        co_await record->wake.async_wait(as_result);
    }
    if (!record->stop_requested)
        pool_.instance_died(record);
    if (record->stop_requested && record->end == InstanceEnd::unused)
        co_await let_finish(record);
    if (record->end == InstanceEnd::start_timeout || record->end == InstanceEnd::start_failed ||
        record->end == InstanceEnd::exited)
        co_await diagnose(record);
    while (record->personalizing) {
        record->wake.expires_at(InstanceRecord::Clock::time_point::max());
        co_await record->wake.async_wait(as_result);
    }
    // A reset, and before the instance ends: so that its port is free again at once.
    if (record->first)
        record->first.abort();
    co_await stop(record->instance);
    events_.instance_ended(record->summary(service_));
    pool_.instance_stopped(record);
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::let_finish(InstanceRecordPtr record)
{
    const auto most = traits_.finish_time();
    const auto moment = BackendTraits::a_moment;
    record->wake.expires_after(record->served_in_order ? most : std::min(most, moment));
    while (!record->exited && !record->hurried && InstanceRecord::Clock::now() < record->wake.expiry())
        co_await record->wake.async_wait(as_result);
    if (record->exited) {
        record->end = InstanceEnd::exited;
        record->detail = record->exit;
    }
}

INSTANCER_DECL asio::awaitable<void> InstanceRunner::diagnose(InstanceRecordPtr record)
{
    std::string reason;
    try {
        reason = co_await backend_.diagnose(record->instance);
    } catch (...) {
        reason = exception_text();
    }
    if (!reason.empty())
        record->detail += "\n" + reason;
}

}  // namespace instancer::detail
