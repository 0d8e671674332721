// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>

#include <instancer/detail/async/detached_threads.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer {

/// Every address of `host`, as the system finds them. Blocks, for half a minute when no name server answers.
INSTANCER_DECL Result<std::vector<asio::ip::tcp::endpoint>> look_up_host(const std::string& host, std::uint16_t port);

/// Looks hosts up without blocking anybody: one whose name server is silent holds up neither other look-ups nor the
/// end of the process.
class HostResolver {
public:
    /// Addresses, each with the port that was asked for.
    using Endpoints = std::vector<asio::ip::tcp::endpoint>;
    /// Blocks until it has found the addresses of a host.
    using LookUp = std::function<Result<Endpoints>(const std::string& host, std::uint16_t port)>;

    /// An empty `look_up` is `look_up_host`.
    explicit HostResolver(LookUp look_up = {}) : look_up_(look_up ? std::move(look_up) : look_up_host) {}

    /// Every address of `host`, at least one.
    ///
    /// Cancellation: at once.
    /// Errors: the text says which host, and why.
    asio::awaitable<Result<Endpoints>> find(std::string host, std::uint16_t port);

private:
    /// A guess: a resolver that does not answer keeps a thread for some ten seconds.
    static constexpr std::size_t most_threads = 32;

    static Result<Endpoints> guarded(const LookUp& look_up, const std::string& host, std::uint16_t port)
    {
        try {
            return look_up(host, port);
        } catch (...) {
            return fail(Errc::backend_unavailable, exception_text());
        }
    }

    static std::string with_colon(const std::string& text) { return text.empty() ? text : ": " + text; }

    const LookUp look_up_;
    detail::DetachedThreads threads_{most_threads};
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/async/host_resolver.hpp>
#endif
