// SPDX-License-Identifier: MIT
// Clients show a token that somebody else has signed.
#pragma once

#include "authentication/ways.hpp"

namespace instancer::daemon {

extern const Way signed_way;

}  // namespace instancer::daemon
