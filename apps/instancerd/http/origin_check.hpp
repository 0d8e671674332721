// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/http_message.hpp"

namespace instancer::daemon {

/// Keeps web pages of others out: a browser can be had to send requests anywhere, to a name that leads here as well.
///
/// Threads: any.
class OriginCheck {
public:
    /// `names`: by which clients may call this server, besides `localhost` and loopback's addresses.
    explicit OriginCheck(std::vector<std::string> names);

    /// The refusal; none for a request that names one of these hosts, and that no page of another origin makes.
    std::optional<HttpResponse> refusal(const HttpRequest& request) const;

private:
    std::vector<std::string> names_;
};

}  // namespace instancer::daemon
