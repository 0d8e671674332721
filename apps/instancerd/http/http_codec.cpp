// SPDX-License-Identifier: MIT
#include "http/http_codec.hpp"

#include <algorithm>
#include <exception>
#include <string_view>

#include <httplib.h>

#include <instancer/text/exception_text.hpp>

namespace instancer::daemon {

namespace {

/// A request in memory, and the answer to it.
class MemoryStream final : public httplib::Stream {
public:
    explicit MemoryStream(std::string_view input) : input_(input) {}

    bool is_readable() const override { return true; }
    bool is_writable() const override { return true; }

    ssize_t read(char* to, std::size_t size) override
    {
        const auto count = input_.copy(to, size);
        input_.remove_prefix(count);
        return static_cast<ssize_t>(count);
    }

    ssize_t write(const char* from, std::size_t size) override
    {
        output.append(from, size);
        return static_cast<ssize_t>(size);
    }

    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    socket_t socket() const override { return -1; }

    std::string output;

private:
    std::string_view input_;
};

HttpRequest request_of(const httplib::Request& parsed)
{
    HttpRequest request;
    request.method = parsed.method == "HEAD" ? "GET" : parsed.method;
    request.path = parsed.path;
    request.query.insert(parsed.params.begin(), parsed.params.end());
    request.fields.assign(parsed.headers.begin(), parsed.headers.end());
    request.body = parsed.body;
    return request;
}

void write(const HttpResponse& answer, httplib::Response& to)
{
    to.status = answer.status;
    for (const auto& [name, value] : answer.fields)
        to.set_header(name, value);
    if (!answer.feed) {
        to.set_content(answer.body, answer.type);
        return;
    }
    // The feed is not httplib's to write: it gets the head alone, without a length.
    to.set_content_provider(answer.type, [](std::size_t, httplib::DataSink& sink) {
        sink.done();
        return true;
    });
}

HttpResponse internal_error()
{
    return HttpResponse::error(500, "internal", "the daemon could not answer that; its log says why");
}

HttpResponse problem_of(RequestReader::State state)
{
    using State = RequestReader::State;
    switch (state) {
    case State::wants_more: return HttpResponse::error(408, "too-slow", "the request did not come in time");
    case State::head_too_large:
        return HttpResponse::error(431, "head-too-large", "the head of a request may have 8 KiB");
    case State::body_too_large:
        return HttpResponse::error(413, "body-too-large", "the body of a request may have 8 KiB");
    case State::length_required:
        return HttpResponse::error(411, "length-required", "send the body with a Content-Length, not in chunks");
    case State::complete:
    case State::malformed: break;
    }
    return HttpResponse::error(400, "malformed", "that is no request by HTTP/1.1");
}

}  // namespace

class HttpCodec::Parser final : public httplib::Server {
public:
    Parser()
    {
        set_default_headers({{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
        set_pre_routing_handler([](const httplib::Request& parsed, httplib::Response& response) {
            call->reply.feed = call->answer(parsed, response);
            return HandlerResponse::Handled;
        });
        // Called for every status from 400 on: those of httplib's own have no body.
        set_error_handler([](const httplib::Request&, httplib::Response& response) {
            if (response.body.empty())
                write(HttpResponse::error(response.status, "malformed", "that is no request by HTTP/1.1"), response);
        });
    }

    HttpReply answer(std::string_view head, const std::string& body, const HttpHandler& handle)
    {
        Call own(handle);
        call = &own;
        MemoryStream stream(head);
        bool closed = false;
        process_request(stream, true, closed, [&body](httplib::Request& request) {
            request.body = body;
            // No answer is worth being sent in parts; one could be asked for thousands of them.
            request.ranges.clear();
        });
        own.reply.bytes = std::move(stream.output);
        call = nullptr;
        return std::move(own.reply);
    }

private:
    class Call {
    public:
        explicit Call(const HttpHandler& handler) : handle(handler) {}

        std::shared_ptr<HttpFeed> answer(const httplib::Request& parsed, httplib::Response& response)
        {
            try {
                const auto result = handle(request_of(parsed));
                write(result, response);
                return parsed.method == "HEAD" ? nullptr : result.feed;
            } catch (...) {
                reply.failure = exception_text(std::current_exception());
                write(internal_error(), response);
                return nullptr;
            }
        }

        const HttpHandler& handle;
        HttpReply reply;
    };

    /// That of this thread: httplib's handlers get nothing that tells calls apart.
    static thread_local Call* call;
};

thread_local HttpCodec::Parser::Call* HttpCodec::Parser::call = nullptr;

HttpCodec::HttpCodec() : parser_(std::make_unique<Parser>()) {}

HttpCodec::~HttpCodec() = default;

HttpReply HttpCodec::answer(const RequestReader& request, const HttpHandler& handle) const
{
    const auto state = request.state();
    if (state == RequestReader::State::complete)
        return parser_->answer(request.head(), request.body(), handle);
    const HttpHandler say = [state](const HttpRequest&) { return problem_of(state); };
    return parser_->answer("GET / HTTP/1.1\r\n\r\n", {}, say);
}

}  // namespace instancer::daemon
