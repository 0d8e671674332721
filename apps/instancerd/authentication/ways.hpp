// SPDX-License-Identifier: MIT
// The list of ways to tell clients apart. A way is a file or a folder beside this one, and a line in the list.
#pragma once

#include <string>
#include <vector>

#include "authentication/authentication.hpp"
#include "config/checker.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// A way to tell clients apart: how it comes about, and what of its settings cannot work.
class Way {
public:
    Auth auth;

    /// Before its files have been read. Both must outlive the result.
    Authentication (*make)(const ServiceSettings&, Events&);

    /// None where all settings work.
    void (*check)(Checker&) = nullptr;

    /// What works, and is dangerous or wrong where it is not meant. None without such.
    std::vector<std::string> (*warn)(const ServiceSettings&) = nullptr;
};

const Way& way_of(Auth auth);

}  // namespace instancer::daemon
