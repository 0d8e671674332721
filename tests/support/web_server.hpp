// SPDX-License-Identifier: MIT
// A web server on loopback, whose answers a test makes.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace daemon_test {

/// What the server is asked.
class WebQuestion {
public:
    std::string method, path, authorization, content_type, body;
};

class WebAnswer {
public:
    WebAnswer(int code, std::string text, std::string redirect = {})
        : status(code), body(std::move(text)), location(std::move(redirect))
    {
    }

    int status;
    std::string body;
    std::string location;
};

/// Answers as `handler` says, which is called on threads of its own, until it is destroyed.
class WebServer {
public:
    using Handler = std::function<WebAnswer(const WebQuestion&)>;
    enum class Scheme { http, https };

    explicit WebServer(Handler handler, Scheme scheme = Scheme::http);
    ~WebServer();

    /// `http://127.0.0.1:PORT` and the path.
    std::string url(const std::string& path = {}) const;

    /// How often it was asked, and has an answer.
    std::size_t asked() const { return asked_; }

    /// Its own certificate in PEM, which nobody else has signed; with https.
    const std::string& certificate() const { return certificate_; }

private:
    class Impl;

    std::atomic<std::size_t> asked_ = 0;
    std::string certificate_;
    std::unique_ptr<Impl> impl_;
};

}  // namespace daemon_test
