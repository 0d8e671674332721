// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace instancer::daemon {

/// What containers may do beyond the default.
class RelaxingSettings {
public:
    bool allow_setuid = false;
    std::vector<std::string> capabilities;  ///< As in `CAP_NET_RAW`.
    std::vector<std::string> devices;       ///< Paths of device nodes.
    std::string seccomp;                    ///< Path of a filter, or `off`; empty: the usual filter.

    bool has_own_seccomp() const { return !seccomp.empty(); }
    bool has_no_seccomp() const { return seccomp == "off"; }

    RelaxingSettings() = default;
};

}  // namespace instancer::daemon
