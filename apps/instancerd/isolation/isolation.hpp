// SPDX-License-Identifier: MIT
// How well instances are kept from each other, from this machine and from the outside.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"

namespace instancer::daemon {

/// From best to worst.
enum class Isolation { strong, fair, weak };

std::string_view name_of(Isolation isolation);

/// What keeps a service from being isolated better, and the remedy.
class IsolationRemark {
public:
    IsolationRemark(Isolation worth, std::string what) : isolation(worth), text(std::move(what)) {}

    Isolation isolation;
    std::string text;
};

/// Whether a user as the option has it is root.
bool names_root(const std::string& user);

/// The remarks on a service, the worst first; none where it is isolated as well as can be, or starts no instances. Its
/// isolation is that of the first. `as_root`: the daemon is root.
std::vector<IsolationRemark> grade_isolation(const Settings& settings, const ServiceSettings& service, bool as_root);

}  // namespace instancer::daemon
