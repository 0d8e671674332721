// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/async/host_resolver.hpp>
#include <instancer/result.hpp>

#include "authentication/web/web_address.hpp"
#include "authentication/web/web_dialect.hpp"

namespace asio::ssl {

class context;

}  // namespace asio::ssl

namespace instancer::daemon {

/// An answer, or why there is none.
class WebReply {
public:
    static WebReply answer(int status, std::string body) { return WebReply(status, std::move(body)); }
    static WebReply none(std::string why) { return WebReply(0, std::move(why)); }

    /// 0 without an answer.
    int status() const noexcept { return status_; }
    /// The body, or why there is no answer.
    const std::string& text() const noexcept { return text_; }

private:
    WebReply(int status, std::string text) : status_(status), text_(std::move(text)) {}

    int status_;
    std::string text_;
};

/// Asks one web server, by a connection for each request. Certificates are verified, redirects are not followed.
///
/// Threads: any.
class WebClient {
public:
    explicit WebClient(WebAddress address);
    ~WebClient();

    /// Time: at most `timeout` for all of it, from looking the host up to the last byte of the answer.
    /// Concurrency: any number of calls may be outstanding.
    /// Cancellation: terminal, at once.
    /// Errors: asio::error::operation_aborted when cancelled.
    /// Lifetime: the client must stay until completion.
    asio::awaitable<Result<WebReply>> ask(WebRequest request, std::chrono::milliseconds timeout);

private:
    asio::awaitable<WebReply> exchange(std::string request);

    /// The request as it is sent.
    std::string text_of(const WebRequest& request) const;

    const WebAddress address_;
    HostResolver resolver_;
    const std::unique_ptr<asio::ssl::context> tls_;  ///< Null without HTTPS.
};

}  // namespace instancer::daemon
