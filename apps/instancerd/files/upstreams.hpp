// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <instancer/backend/upstream_options.hpp>

#include "config/settings.hpp"

namespace instancer::daemon {

/// `ADDR[=WEIGHT]`. The path of a Unix socket is resolved as `settings` say.
Parsed<Upstream> parse_upstream(const Settings& settings, const std::string& text);

/// Reads upstreams, one `ADDR[=WEIGHT]` a line; `#` starts a comment. The error names `file` and the line.
Parsed<std::vector<Upstream>> parse_upstreams(const Settings& settings, std::string_view text, const std::string& file);

/// Reads the file and parses it.
Parsed<std::vector<Upstream>> load_upstreams(const Settings& settings, const std::string& file);

/// Looks up the names of all that `service` connects to: a line on each that cannot be found, with the reason.
///
/// Time: 5 s at most.
std::vector<std::string> unknown_hosts(const Settings& settings, const ServiceSettings& service);

}  // namespace instancer::daemon
