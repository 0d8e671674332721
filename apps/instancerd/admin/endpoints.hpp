// SPDX-License-Identifier: MIT
// The table of what operators can ask and order by HTTP. Routes and the OpenAPI document follow it.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "http/http_message.hpp"

namespace instancer::daemon {

class AdminApi;

/// One thing that an operator can ask or order.
class Endpoint {
public:
    std::string_view method;
    std::string_view path;  ///< Below `/api/v1`.
    std::string_view name;  ///< Of the operation.
    std::string_view summary;
    HttpResponse (AdminApi::*handle)(const HttpRequest&);
    std::string_view result;                          ///< Schema of the answer; empty for a stream of events.
    std::array<std::string_view, 5> parameters = {};  ///< Of the query.
    std::string_view body = {};                       ///< Schema of what is sent; empty for nothing.

    bool is_order() const noexcept { return method == "POST"; }
};

std::span<const Endpoint> endpoints();

/// An OpenAPI 3.1 document about the endpoints.
const std::string& openapi_document();

/// The same for people, as a page in Markdown.
std::string api_reference();

}  // namespace instancer::daemon
