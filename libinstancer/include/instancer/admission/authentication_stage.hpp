// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/admission/stage.hpp>
#include <instancer/authenticator.hpp>

namespace instancer {

/// Has an Authenticator identify the client, unless an earlier stage has. Every server has this stage.
class AuthenticationStage final : public AdmissionStage {
public:
    /// Asks `authenticator`, for as many clients at once as `budget` has places.
    explicit AuthenticationStage(std::unique_ptr<Authenticator> authenticator,
                                 std::shared_ptr<PlaceBudget> budget = nullptr)
        : AdmissionStage("authentication", Duration::zero(), std::move(budget)),
          authenticator_(std::move(authenticator))
    {
    }

private:
    bool do_applies(const AdmissionContext& context) const override { return !context.admission(); }

    bool do_waits() const noexcept override { return authenticator_->reads(); }

    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override
    {
        auto admission = co_await authenticator_->authenticate(client, context.client());
        if (!admission)
            co_return fail(std::move(admission.error()));
        context.admit(std::move(*admission));
        co_return Result<void>();
    }

    const std::unique_ptr<Authenticator> authenticator_;
};

}  // namespace instancer
