// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <sys/types.h>

#include <instancer/flag_template.hpp>

namespace instancer::daemon {

/// Which flag each instance gets, and how.
class FlagSettings {
public:
    std::string text;  ///< The template; empty: there are no flags.
    std::string key_file;
    FlagScope scope = FlagScope::owner;
    std::string file;  ///< In the instance; empty: its environment holds the flag.
    mode_t mode = 0400;
    std::string owner;  ///< Of that file; empty: the instance's user.
    std::string log;

    FlagSettings() = default;
};

}  // namespace instancer::daemon
