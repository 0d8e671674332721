// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace instancer::daemon {

/// What a client asks for.
class HttpRequest {
public:
    /// In the order in which they came.
    using Fields = std::vector<std::pair<std::string, std::string>>;

    std::string method;  ///< As in `GET`; HEAD reads as GET, since both have the same answer but for its body.
    std::string path;    ///< Decoded, without the query.
    std::multimap<std::string, std::string, std::less<>> query;  ///< Decoded.
    Fields fields;
    std::string body;
    std::map<std::string, std::string, std::less<>> arguments;  ///< Parts of the path, as its route names them.

    HttpRequest() = default;

    /// The first header field of that name, in capitals or not.
    std::optional<std::string_view> field(std::string_view name) const;

    /// The first parameter of that name.
    std::optional<std::string_view> parameter(std::string_view name) const;

    /// Of the route; empty where it has none of that name.
    std::string_view argument(std::string_view name) const;
};

/// The body of an answer that goes on until its client leaves, such as events as they come.
///
/// Threads: `wake` is called on any; the members are called on one at a time.
/// Lifetime: once it is destroyed, `wake` is not called any more.
class HttpFeed {
public:
    virtual ~HttpFeed() = default;

    /// Calls `wake` whenever `take` may have more. Called once, before all else.
    virtual void on_more(std::function<void()> wake) = 0;

    /// The bytes that have come since the last call; empty when there are none.
    virtual std::string take() = 0;

    /// What a client gets that has heard nothing for a while, so that one that has left is noticed.
    virtual std::string heartbeat() const = 0;
};

/// What a client is answered.
class HttpResponse {
public:
    int status = 200;
    std::string type;  ///< Of the body.
    std::string body;
    HttpRequest::Fields fields;      ///< Besides those that every answer has.
    std::shared_ptr<HttpFeed> feed;  ///< In place of the body.

    HttpResponse(int code, std::string content_type, std::string content)
        : status(code), type(std::move(content_type)), body(std::move(content))
    {
    }

    static HttpResponse json(std::string text, int code = 200) { return {code, "application/json", std::move(text)}; }

    /// `{"error": WORD, "message": MESSAGE}`: a word for programs, a sentence for people.
    static HttpResponse error(int code, std::string_view word, std::string_view message);

    static HttpResponse stream(std::string content_type, std::shared_ptr<HttpFeed> feed);
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

}  // namespace instancer::daemon
