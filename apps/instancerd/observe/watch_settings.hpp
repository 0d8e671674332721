// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace instancer::daemon {

/// What is written and shown of all services together, beside the log.
class WatchSettings {
public:
    std::string access_log;  ///< Empty: there is none.

    WatchSettings() = default;
};

}  // namespace instancer::daemon
