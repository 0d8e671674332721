// SPDX-License-Identifier: MIT
// Clients show a token of a list: as a greeting, or at a prompt.
#pragma once

#include "authentication/ways.hpp"

namespace instancer::daemon {

extern const Way token_way, prompt_way;

}  // namespace instancer::daemon
