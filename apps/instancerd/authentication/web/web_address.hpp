// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "options/values.hpp"

namespace instancer::daemon {

/// Where a web server is asked.
class WebAddress {
public:
    bool secure = false;  ///< By HTTPS.
    std::string host;     ///< A name or an address, IPv6 without brackets.
    std::uint16_t port = 0;
    std::string origin;  ///< `https://host:port`, as it was written.
    std::string path;    ///< Empty where none was written.

    WebAddress() = default;

    /// Whether nothing that is sent there leaves this machine.
    bool is_loopback() const;
};

/// `https://HOST[:PORT][/PATH]`, or the same with `http`.
Parsed<WebAddress> parse_web_address(std::string_view text);

}  // namespace instancer::daemon
