// SPDX-License-Identifier: MIT
#include "http/origin_check.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "http/http_fields.hpp"

namespace instancer::daemon {

namespace {

/// Without the port.
std::string_view host_of(std::string_view authority)
{
    if (authority.starts_with('['))
        return authority.substr(0, authority.find(']') + 1);
    return authority.substr(0, authority.find(':'));
}

/// What follows `http://` or `https://`; all of it where it has neither, as `null` does.
std::string_view authority_of(std::string_view origin)
{
    constexpr std::string_view mark = "://";
    const auto end = origin.find(mark);
    return end == origin.npos ? origin : origin.substr(end + mark.size());
}

}  // namespace

OriginCheck::OriginCheck(std::vector<std::string> names) : names_(std::move(names))
{
    names_.insert(names_.end(), {"localhost", "127.0.0.1", "[::1]"});
}

std::optional<HttpResponse> OriginCheck::refusal(const HttpRequest& request) const
{
    const auto host = request.field("Host").value_or("");
    const auto is_host = [&](const std::string& name) { return same_word(name, host_of(host)); };
    if (std::none_of(names_.begin(), names_.end(), is_host))
        return HttpResponse::error(403, "wrong-host", "this server has another name; an option lists the names it has");
    const auto origin = request.field("Origin");
    if (origin && !same_word(authority_of(*origin), host))
        return HttpResponse::error(403, "wrong-origin", "pages of other origins may not ask");
    return std::nullopt;
}

}  // namespace instancer::daemon
