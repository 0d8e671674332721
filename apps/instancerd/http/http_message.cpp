// SPDX-License-Identifier: MIT
#include "http/http_message.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "http/http_fields.hpp"

namespace instancer::daemon {

std::optional<std::string_view> HttpRequest::field(std::string_view name) const
{
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const auto& entry) { return same_word(entry.first, name); });
    return found == fields.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

std::optional<std::string_view> HttpRequest::parameter(std::string_view name) const
{
    const auto found = query.find(name);
    return found == query.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

std::string_view HttpRequest::argument(std::string_view name) const
{
    const auto found = arguments.find(name);
    return found == arguments.end() ? std::string_view() : found->second;
}

HttpResponse HttpResponse::error(int code, std::string_view word, std::string_view message)
{
    using Json = nlohmann::ordered_json;
    const Json problem = {{"error", word}, {"message", message}};
    // The message may quote what the client sent, which can be any bytes.
    return json(problem.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", code);
}

HttpResponse HttpResponse::stream(std::string content_type, std::shared_ptr<HttpFeed> feed)
{
    HttpResponse answer(200, std::move(content_type), {});
    answer.feed = std::move(feed);
    return answer;
}

}  // namespace instancer::daemon
