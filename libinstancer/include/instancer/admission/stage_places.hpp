// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace instancer {

/// How busy a stage of admission is.
class StagePlaces {
public:
    std::string stage;      ///< Its name.
    std::size_t taken = 0;  ///< Clients that it works on; not counted where there is no limit.
    std::size_t limit = 0;  ///< Of clients at once; 0 means no limit.

    StagePlaces() = default;
    /// Of the stage `name`, `used` of `most` places are taken.
    StagePlaces(std::string name, std::size_t used, std::size_t most) : stage(std::move(name)), taken(used), limit(most)
    {
    }
};

}  // namespace instancer
