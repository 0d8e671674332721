// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "options/values.hpp"

namespace instancer::daemon {

/// What is written and shown of all services together, beside the log.
class WatchSettings {
public:
    std::string access_log;          ///< Empty: there is none.
    std::optional<Address> metrics;  ///< Where they are served; none: nowhere.

    WatchSettings() = default;
};

}  // namespace instancer::daemon
