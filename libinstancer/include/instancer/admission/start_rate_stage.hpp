// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/acceptor/source.hpp>
#include <instancer/admission/source_rate.hpp>
#include <instancer/admission/stage.hpp>

namespace instancer {

/// Refuses clients whose owner has instances started too often; for `ServerOptions::start_stages`. Of clients that
/// nobody recognises it is the source that counts.
class StartRateStage final : public AdmissionStage {
public:
    /// Each owner has `rate` for itself; IPv6 clients that share `source_prefix` bits, and IPv4 clients that share
    /// `source_prefix4`, are one source.
    explicit StartRateStage(const Rate& rate, unsigned source_prefix = 64, unsigned source_prefix4 = 32)
        : AdmissionStage("start rate"), rate_(rate), source_prefix_(source_prefix), source_prefix4_(source_prefix4)
    {
    }

private:
    bool do_waits() const noexcept override { return false; }

    asio::awaitable<Result<void>> do_run(Stream&, AdmissionContext& context) override
    {
        const auto wait = rate_.take(name_of(context));
        if (wait == Rate::Duration::zero())
            co_return Result<void>();
        context.retry_after(wait);
        co_return fail(Errc::full, "its owner starts instances more often than one may (start-rate)");
    }

    /// No owner can have the name of a source.
    std::string name_of(const AdmissionContext& context) const
    {
        const auto& admission = context.admission();
        if (admission && admission->returning())
            return "owner " + admission->owner();
        return "source " + Source(context.client(), source_prefix_, source_prefix4_).to_string();
    }

    SourceRate rate_;
    const unsigned source_prefix_;
    const unsigned source_prefix4_;
};

}  // namespace instancer
