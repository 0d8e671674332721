// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace instancer::daemon {

/// Tells the service manager that started this process how far it is, as in `READY=1`; see sd_notify(3). Does nothing
/// where none wants to know.
void tell_service_manager(std::string_view state);

}  // namespace instancer::daemon
