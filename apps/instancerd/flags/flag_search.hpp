// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>
#include <string>
#include <unordered_map>

#include "authentication/owners.hpp"
#include "config/settings.hpp"
#include "flags/flag_log.hpp"

namespace instancer::daemon {

/// Whose each flag is: those that were logged, and those that the owners of listed tokens get.
class FlagSearch {
public:
    /// Errors: when a key, a list of tokens or a log cannot be read, or no service has flags.
    static Parsed<FlagSearch> load(const Settings& settings);

    /// Says whose the flag in each line of `in` is: flag, service, owner and label with tabs between, a line for each
    /// who has it; or that it is nobody's. Whether every flag is somebody's.
    bool answer(std::istream& in, std::ostream& out) const;

private:
    FlagSearch() = default;

    Parsed<void> add(const ServiceSettings& service);
    Parsed<void> add_listed_owners(const ServiceSettings& service, const Owners& owners);
    void add(IssuedFlag issued);

    std::unordered_multimap<std::string, IssuedFlag> by_flag_;
};

}  // namespace instancer::daemon
