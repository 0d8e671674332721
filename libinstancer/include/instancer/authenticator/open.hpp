// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/authenticator.hpp>

namespace instancer {

/// Admits everybody; every connection is an identity of its own.
class OpenAuthenticator final : public Authenticator {
private:
    bool do_reads() const noexcept override { return false; }

    asio::awaitable<Result<Admission>> do_authenticate(Stream&, const ClientInfo&) override
    {
        co_return Admission::unique();
    }
};

}  // namespace instancer
