// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/admission/context.hpp>
#include <instancer/admission/stage.hpp>
#include <instancer/admission/stage_places.hpp>
#include <instancer/detail/server/step_time.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer::detail {

/// The stages that a client passes, one after the other, each with its deadline and its budget of places.
///
/// Threads: any; a client's own executor for `run`.
class AdmissionSequence {
public:
    using Duration = AdmissionStage::Duration;
    using Stages = std::vector<std::shared_ptr<AdmissionStage>>;

    /// The stages that have no deadline of their own take `time_limit` together; 0 means no limit.
    AdmissionSequence(Stages stages, Duration time_limit) : stages_(std::move(stages)), time_limit_(time_limit) {}

    /// The introduction by a proxy, and then `others`.
    static Stages after_introduction(const Stages& others);

    /// All of them.
    const Stages& stages() const noexcept { return stages_; }

    /// Whether there is no stage at all.
    bool empty() const noexcept { return stages_.empty(); }

    /// Of the stages that have a budget.
    std::vector<StagePlaces> places() const;

    /// Whether there is a stage that waits for this client.
    bool waits_for(const AdmissionContext& context) const;

    /// What a client gets that joins its instance and so need not pass the stages that apply to it.
    std::string unneeded(const AdmissionContext& context) const;

    /// Takes the client through the stages that apply to it. `between_stages` is called before each of them but the
    /// first; `on_displaced`, on any thread, when others need the client's place in a stage. It cancels this soon. The
    /// first of `stages` are timed in `times`, which may have fewer entries.
    ///
    /// Cancellation: terminal.
    /// Errors: those of the stages, in whose texts their names come first; Errc::timeout;
    /// asio::error::operation_aborted for a client that lost its place.
    asio::awaitable<Result<void>> run(Stream& client, AdmissionContext& context, std::function<void()> between_stages,
                                      std::function<void()> on_displaced, std::span<StepTime> times = {}) const;

private:
    asio::awaitable<Result<void>> pass(AdmissionStage& stage, Stream& client, AdmissionContext& context,
                                       Duration& time_left) const;

    /// Takes the time that passes from `time_left`.
    static asio::awaitable<Result<void>> pass_in_time(AdmissionStage& stage, Stream& client, AdmissionContext& context,
                                                      Duration& time_left);

    /// Keeps an exception for later: the deadline would be waited for otherwise.
    static asio::awaitable<Result<void>> catching(AdmissionStage& stage, Stream& client, AdmissionContext& context,
                                                  std::exception_ptr& thrown);

    const Stages stages_;
    const Duration time_limit_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/server/admission_sequence.hpp>
#endif
