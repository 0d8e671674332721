// SPDX-License-Identifier: MIT
// What is asked for about clients that show something that no list holds.
#pragma once

#include <string>
#include <vector>

namespace instancer::daemon {

class AuthenticationSettings {
public:
    std::vector<std::string> keys;  ///< Files of keys that tokens are signed with.

    AuthenticationSettings() = default;
};

}  // namespace instancer::daemon
