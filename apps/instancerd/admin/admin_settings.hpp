// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "options/values.hpp"

namespace instancer::daemon {

/// Where operators ask and steer the daemon, and who may.
class AdminSettings {
public:
    static constexpr std::string_view usual_address = "unix:/run/instancerd/admin";

    std::optional<Address> address;  ///< None: nowhere.
    std::string token_file;
    std::vector<std::string> hosts;  ///< Names of the address, besides those of loopback.

    AdminSettings() = default;
};

}  // namespace instancer::daemon
