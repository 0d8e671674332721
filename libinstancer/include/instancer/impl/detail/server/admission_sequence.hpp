// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include <asio/error.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/admission/introduction_stage.hpp>
#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/admission_sequence.hpp>
#include <instancer/detail/server/end_cause.hpp>

namespace instancer::detail {

/// The error, in whose text the stage comes first.
inline Error refusal_by(const AdmissionStage& stage, const Error& error)
{
    if (!is_system_error(error))
        return Error(error.code(), stage.name() + ": " + error.message());
    return Error(error.code(), error.text().empty() ? stage.name() : stage.name() + ": " + error.text());
}

/// None where the stage has no budget.
inline PlaceBudget::Place take_place(const AdmissionStage& stage, const ClientInfo& client,
                                     const std::function<void()>& on_displaced)
{
    const auto& budget = stage.budget();
    return budget ? budget->take(client, on_displaced) : PlaceBudget::Place();
}

INSTANCER_DECL AdmissionSequence::Stages AdmissionSequence::after_introduction(const Stages& others)
{
    Stages all{std::make_shared<IntroductionStage>()};
    all.insert(all.end(), others.begin(), others.end());
    return all;
}

INSTANCER_DECL std::vector<StagePlaces> AdmissionSequence::places() const
{
    std::vector<StagePlaces> all;
    for (const auto& stage : stages_)
        if (const auto& budget = stage->budget())
            all.emplace_back(stage->name(), budget->taken(), budget->limit());
    return all;
}

INSTANCER_DECL bool AdmissionSequence::waits_for(const AdmissionContext& context) const
{
    return std::any_of(stages_.begin(), stages_.end(),
                       [&context](const auto& stage) { return stage->waits() && stage->applies(context); });
}

INSTANCER_DECL std::string AdmissionSequence::unneeded(const AdmissionContext& context) const
{
    std::string text;
    for (const auto& stage : stages_)
        if (stage->applies(context))
            text += stage->unneeded();
    return text;
}

/// Adds what has passed since it was made.
class StageTimer {
public:
    explicit StageTimer(StepTime* time) : time_(time) {}
    StageTimer(const StageTimer&) = delete;
    StageTimer& operator=(const StageTimer&) = delete;
    ~StageTimer()
    {
        if (time_)
            time_->add(std::chrono::steady_clock::now() - begin_);
    }

private:
    StepTime* const time_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

INSTANCER_DECL asio::awaitable<Result<void>> AdmissionSequence::run(Stream& client, AdmissionContext& context,
                                                                    std::function<void()> between_stages,
                                                                    std::function<void()> on_displaced,
                                                                    std::span<StepTime> times) const
{
    auto shared_time = time_limit_;
    bool first = true;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
        const auto& stage = stages_[i];
        if (!stage->applies(context))
            continue;
        if (!std::exchange(first, false))
            between_stages();
        // What begins after a cancellation hears nothing of it.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(cancellation))
            co_return fail(std::error_code(asio::error::operation_aborted));
        const StageTimer timer(i < times.size() ? &times[i] : nullptr);
        auto place = take_place(*stage, context.client(), on_displaced);
        auto own_time = stage->deadline();
        auto& time_left = own_time > own_time.zero() ? own_time : shared_time;
        const auto passed = co_await pass(*stage, client, context, time_left);
        if (!passed)
            co_return fail(refusal_by(*stage, passed.error()));
        if (!place.give_back())
            co_return fail(refusal_by(*stage, std::error_code(asio::error::operation_aborted)));
    }
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<Result<void>>
AdmissionSequence::pass(AdmissionStage& stage, Stream& client, AdmissionContext& context, Duration& time_left) const
{
    const bool limited = stage.deadline() > Duration::zero() || time_limit_ > Duration::zero();
    if (!limited || !stage.waits())
        return stage.run(client, context);
    return pass_in_time(stage, client, context, time_left);
}

INSTANCER_DECL asio::awaitable<Result<void>>
AdmissionSequence::pass_in_time(AdmissionStage& stage, Stream& client, AdmissionContext& context, Duration& time_left)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    const auto begin = std::chrono::steady_clock::now();
    asio::steady_timer deadline(executor, time_left);
    std::exception_ptr thrown;
    auto first = co_await (catching(stage, client, context, thrown) || deadline.async_wait(as_result));
    time_left -= std::chrono::steady_clock::now() - begin;
    // A stage may obey a cancellation later than the timer does.
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (first.index() != 0 && is_cancelled(cancellation))
        co_return fail(std::error_code(asio::error::operation_aborted));
    if (first.index() != 0)
        co_return fail(Errc::timeout, "the client took too long");
    if (thrown)
        std::rethrow_exception(thrown);
    co_return std::move(std::get<0>(first));
}

INSTANCER_DECL asio::awaitable<Result<void>> AdmissionSequence::catching(AdmissionStage& stage, Stream& client,
                                                                         AdmissionContext& context,
                                                                         std::exception_ptr& thrown)
{
    try {
        co_return co_await stage.run(client, context);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return fail(Errc::rejected);
}

}  // namespace instancer::detail
