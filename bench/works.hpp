// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "report.hpp"

namespace bench {

Outcome processes(int rounds);
Outcome first_byte(int rounds);
std::vector<Outcome> crowd(int rounds);
Outcome docker_start(int rounds);
std::vector<Outcome> oci(int rounds);
std::vector<Outcome> pool(int rounds);
Outcome proof(int rounds);
std::vector<Outcome> forward(int rounds);
std::vector<Outcome> relay(int rounds);
std::vector<Outcome> tunnel(int rounds);

}  // namespace bench
