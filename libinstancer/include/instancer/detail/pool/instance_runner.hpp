// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/detail/pool/instance_record.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer::detail {

/// The life of each instance of a pool: it is started, connected to until it is ready, watched, and stopped.
///
/// Threads: the control executor.
class InstanceRunner {
public:
    /// Decides about the instances, and learns what happens to them.
    class Pool {
    public:
        /// Each life of an instance holds it: the pool outlives them.
        virtual std::shared_ptr<Pool> keep_alive() = 0;

        virtual void instance_ready(const InstanceRecordPtr& record) = 0;
        /// It has what it has of its owner, or proved useless: its held grants can be settled.
        virtual void instance_personalized(const InstanceRecordPtr& record, const Result<void>& personalized) = 0;
        /// It has never run, and its record is of no use any more.
        virtual void instance_start_failed(const InstanceRecordPtr& record, Errc error) = 0;
        /// It has ended, or proved useless, without being asked to, and is about to be stopped.
        virtual void instance_died(const InstanceRecordPtr& record) = 0;
        /// It is gone, and its record is of no use any more.
        virtual void instance_stopped(const InstanceRecordPtr& record) = 0;

    protected:
        ~Pool() = default;
    };

    /// Lifetime: all that is passed must outlive the runner.
    InstanceRunner(asio::any_io_executor control, std::string service, InstanceBackend& backend, Events& events,
                   Pool& pool)
        : control_(std::move(control)),
          service_(std::move(service)),
          backend_(backend),
          traits_(backend.traits()),
          events_(events),
          pool_(pool)
    {
    }

    void start(const InstanceRecordPtr& record, InstanceRequest request);

    /// Takes over one that runs already.
    void adopt(const InstanceRecordPtr& record);

    /// Gives a warm instance to the owner of `request`, now or when it is ready.
    void assign(const InstanceRecordPtr& record, InstanceRequest request);

    /// Has the backend remember that the instance was extended by `total`. What goes wrong is a warning.
    void note_extension(const InstanceRecordPtr& record, std::chrono::seconds total);

    /// Stops an instance. What goes wrong is a warning.
    asio::awaitable<void> stop(Instance instance);

private:
    /// A backend that throws has failed; it does not take the instance's own task with it.
    template <class T>
    static asio::awaitable<Result<T>> guarded(asio::awaitable<Result<T>> call)
    {
        try {
            co_return co_await std::move(call);
        } catch (...) {
            co_return fail(Errc::start_failed, exception_text());
        }
    }

    /// The same for a call that is reported.
    template <class T>
    asio::awaitable<Result<T>> reported(std::string_view call, asio::awaitable<Result<T>> task)
    {
        auto result = co_await guarded(std::move(task));
        events_.backend_called(service_, call, !result);
        co_return result;
    }

    void spawn(asio::awaitable<void> task);

    asio::awaitable<void> live(InstanceRecordPtr record, InstanceRequest request);

    void fail_start(const InstanceRecordPtr& record, const Error& error);

    /// One attempt. What it opened is kept even if the end of the instance is noticed first: its last words are there.
    asio::awaitable<void> open(InstanceRecordPtr record, OpenRequest request);

    /// Connects until it works. Returns without a connection when the instance ended or is to be stopped.
    asio::awaitable<void> become_ready(InstanceRecordPtr record, OpenRequest request);

    /// Notices the end of an instance at once.
    asio::awaitable<void> watch_exit(InstanceRecordPtr record);

    void tell_owner(const InstanceRecordPtr& record);

    asio::awaitable<void> pass_on(InstanceRecordPtr record);

    asio::awaitable<Result<void>> personalize(InstanceRecordPtr record);

    asio::awaitable<void> pass_on_extension(InstanceRecordPtr record, std::chrono::seconds total);

    /// Waits for the end, whoever brings it about, and cleans up.
    asio::awaitable<void> end(InstanceRecordPtr record);

    asio::awaitable<void> wait_for_end(InstanceRecordPtr record);

    /// Nobody uses it any more: most programs end by themselves then, and how they do so says more than that we stop
    /// them. Whoever still works has some time.
    asio::awaitable<void> let_finish(InstanceRecordPtr record);

    /// Adds what the backend knows about an end that nobody asked for.
    asio::awaitable<void> diagnose(InstanceRecordPtr record);

    asio::any_io_executor control_;
    std::string service_;
    InstanceBackend& backend_;
    BackendTraits traits_;
    Events& events_;
    Pool& pool_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/instance_runner.hpp>
#endif
