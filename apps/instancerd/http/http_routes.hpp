// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/http_message.hpp"

namespace instancer::daemon {

/// Finds the handler of a request by its method and path.
///
/// Threads: any, once all are added.
class HttpRoutes {
public:
    /// `pattern` is a path whose part `{name}` stands for any text, which becomes the argument of that name.
    void add(std::string_view method, std::string_view pattern, HttpHandler handler);

    /// By the handler; 404 where no route has that path, 405 where one has another method.
    HttpResponse answer(HttpRequest request) const;

private:
    class Route {
    public:
        Route(std::string_view of_method, std::string_view pattern, HttpHandler handler);

        /// Fills in the arguments where the path matches.
        bool matches(HttpRequest& request) const;

        std::string method;
        std::vector<std::string> parts;
        HttpHandler handle;
    };

    std::vector<Route> routes_;
};

}  // namespace instancer::daemon
