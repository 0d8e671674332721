// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <utility>

#include <instancer/authenticator.hpp>
#include <instancer/client.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Lets in clients that come from the address of a known user. All of them share one instance.
///
/// Clients of a Unix socket have no address: whom its permissions let in is known.
class TunnelAuthenticator final : public Authenticator {
public:
    /// Whether an address is a user's.
    ///
    /// Threads: called on the session's worker, on several at once; completes there.
    using Lookup = std::function<asio::awaitable<Result<bool>>(asio::ip::address)>;

    /// Asks `lookup` for each client.
    explicit TunnelAuthenticator(Lookup lookup) : lookup_(std::move(lookup)) {}

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream&, const ClientInfo& info) override
    {
        if (info.peer()) {
            const auto known = co_await lookup_(info.peer()->address());
            if (!known)
                co_return fail(Errc::rejected, known.error().message());
            if (!*known)
                co_return fail(Errc::rejected, info.peer()->address().to_string() + " is no user's address");
        }
        Admission everybody{std::string(), std::string()};
        co_return everybody;
    }

    const Lookup lookup_;
};

}  // namespace instancer
