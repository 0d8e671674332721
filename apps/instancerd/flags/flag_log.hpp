// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "options/values.hpp"

namespace instancer::daemon {

/// One flag that an instance got.
class IssuedFlag {
public:
    std::string service;
    std::string owner;     ///< As a hash, and so is
    std::string identity;  ///< whose instance it is.
    std::string label;     ///< What the owner is called; empty when nobody said.
    std::string flag;

    IssuedFlag() = default;
};

/// Appends a line about it to `file`, which is made for this user alone.
///
/// Threads: any; it blocks for as long as writing a line takes.
Parsed<void> log_flag(const std::string& file, const IssuedFlag& issued);

/// Calls `found` with every flag that `file` tells of; with none while there is no such file.
Parsed<void> read_flag_log(const std::string& file, const std::function<void(IssuedFlag)>& found);

}  // namespace instancer::daemon
