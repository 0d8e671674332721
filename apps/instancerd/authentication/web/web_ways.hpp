// SPDX-License-Identifier: MIT
// A web server says whose a token is.
#pragma once

#include "authentication/ways.hpp"

namespace instancer::daemon {

extern const Way webhook_way, ctfd_way, rctf_way;

}  // namespace instancer::daemon
