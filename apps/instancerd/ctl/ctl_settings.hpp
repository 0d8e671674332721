// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "options/values.hpp"

namespace instancer::daemon {

/// How `instancerd ctl` asks, and shows the answer.
class CtlSettings {
public:
    Address server = Address::unix_socket("/run/instancerd/admin");
    std::string token_file;
    bool json = false;
    bool follow = false;
    bool dry_run = false;
    std::string duration;  ///< Empty unless given, as the daemon reads it.
    std::string reason;
    std::string service;
    std::string owner;

    CtlSettings() = default;
};

}  // namespace instancer::daemon
