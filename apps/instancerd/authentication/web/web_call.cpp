// SPDX-License-Identifier: MIT
#include "authentication/web/web_call.hpp"

#include <atomic>
#include <cstdint>
#include <exception>

#include <httplib.h>

namespace instancer::daemon {

class WebCall::Client {
public:
    Client(const WebAddress& address, WebRequest request, std::chrono::milliseconds timeout)
        : http_(address.origin), request_(std::move(request))
    {
        http_.set_connection_timeout(timeout);
        http_.set_read_timeout(timeout);
        http_.set_write_timeout(timeout);
        http_.set_url_encode(false);
        http_.set_follow_location(false);
    }

    WebReply run()
    {
        std::string body;
        httplib::Request request;
        request.method = request_.method;
        request.path = request_.path;
        request.headers.insert(request_.headers.begin(), request_.headers.end());
        request.body = request_.body;
        request.content_receiver = [&body](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
            body.append(data, size);
            return body.size() <= largest_body;
        };
        if (revoked_)
            return WebReply::none("it was not waited for");
        httplib::Response response;
        auto error = httplib::Error::Success;
        if (!http_.send(request, response, error))
            return WebReply::none(body.size() > largest_body ? "its answer is larger than 64 KiB"
                                                             : "it cannot be reached: " + httplib::to_string(error));
        return WebReply::answer(response.status, std::move(body));
    }

    void revoke() { revoked_ = true; }
    void stop() { http_.stop(); }

private:
    static constexpr std::size_t largest_body = 64 * 1024;

    httplib::Client http_;
    const WebRequest request_;
    std::atomic<bool> revoked_ = false;
};

WebCall::WebCall(const WebAddress& address, WebRequest request, std::chrono::milliseconds timeout)
    : client_(std::make_unique<Client>(address, std::move(request), timeout))
{
}

WebCall::~WebCall() = default;

WebReply WebCall::run()
{
    try {
        return client_->run();
    } catch (const std::exception& error) {
        return WebReply::none(error.what());
    }
}

void WebCall::revoke() { client_->revoke(); }

void WebCall::stop() { client_->stop(); }

bool WebCall::knows_tls()
{
#if defined(CPPHTTPLIB_OPENSSL_SUPPORT)
    return true;
#else
    return false;
#endif
}

}  // namespace instancer::daemon
