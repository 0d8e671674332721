// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "authentication/web/web_address.hpp"
#include "authentication/web/web_dialect.hpp"

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

/// One request to a web server.
class WebCall {
public:
    /// Each step of it takes at most `timeout`; whoever wants all of it to end sooner stops it.
    WebCall(const WebAddress& address, WebRequest request, std::chrono::milliseconds timeout);
    ~WebCall();

    /// Waits for the answer. Certificates are verified, redirects are not followed.
    ///
    /// Threads: one that may block.
    WebReply run();

    /// Keeps it from beginning, if it has not begun.
    ///
    /// Threads: any.
    void revoke();

    /// Ends it soon.
    ///
    /// Threads: one that may block: while it connects it cannot be ended.
    void stop();

    /// Whether HTTPS can be spoken.
    static bool knows_tls();

private:
    class Client;

    const std::unique_ptr<Client> client_;
};

}  // namespace instancer::daemon
