// SPDX-License-Identifier: MIT
#pragma once

#include <asio/awaitable.hpp>

#include <instancer/admission/stage.hpp>

namespace instancer {

/// Hears from a proxy who its client is, and judges that client by the rules of access: the first stage of every
/// server.
class IntroductionStage final : public AdmissionStage {
public:
    /// For clients whose acceptor wants to be told their address.
    IntroductionStage() : AdmissionStage("introduction") {}

private:
    bool do_applies(const AdmissionContext& context) const override
    {
        return context.slot() && context.slot()->needs_introduction();
    }

    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override
    {
        return context.slot()->introduce(client, context.client());
    }
};

}  // namespace instancer
