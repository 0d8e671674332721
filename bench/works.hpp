// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "report.hpp"

namespace bench {

/// A table and what its ratios refer to.
class Outcome {
public:
    Outcome(Table measured, std::string reference) : table(std::move(measured)), baseline(std::move(reference)) {}

    Table table;
    std::string baseline;
};

Outcome processes(int rounds);
Outcome first_byte(int rounds);
Outcome docker_start(int rounds);
std::vector<Outcome> pool(int rounds);
std::vector<Outcome> forward(int rounds);

}  // namespace bench
