// SPDX-License-Identifier: MIT
#include "http/http_routes.hpp"

#include <utility>

#include <instancer/text/split.hpp>

namespace instancer::daemon {

HttpRoutes::Route::Route(std::string_view of_method, std::string_view pattern, HttpHandler handler)
    : method(of_method), parts(split(pattern, '/')), handle(std::move(handler))
{
}

bool HttpRoutes::Route::matches(HttpRequest& request) const
{
    const auto found = split(request.path, '/');
    if (found.size() != parts.size())
        return false;
    request.arguments.clear();
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::string_view part = parts[i];
        if (part.starts_with('{'))
            request.arguments.emplace(part.substr(1, part.size() - 2), found[i]);
        else if (part != found[i])
            return false;
    }
    return true;
}

void HttpRoutes::add(std::string_view method, std::string_view pattern, HttpHandler handler)
{
    routes_.emplace_back(method, pattern, std::move(handler));
}

HttpResponse HttpRoutes::answer(HttpRequest request) const
{
    std::string allowed;
    for (const auto& route : routes_) {
        if (!route.matches(request))
            continue;
        if (route.method == request.method)
            return route.handle(request);
        allowed += (allowed.empty() ? "" : ", ") + route.method;
    }
    if (allowed.empty())
        return HttpResponse::error(404, "no-such-path", "nothing has that path");
    auto answer = HttpResponse::error(405, "wrong-method", "that path knows " + allowed + " alone");
    answer.fields.emplace_back("Allow", allowed);
    return answer;
}

}  // namespace instancer::daemon
