// SPDX-License-Identifier: MIT
// The list of modes. A mode is a folder beside this file, and a line in the list.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/checker.hpp"
#include "config/settings.hpp"
#include "modes/mode.hpp"
#include "options/commands.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

class OwnedSettings;
class RunningService;
class ServiceContext;

/// An address that a service listens on, with the option that says so.
using Listener = std::pair<std::string_view, Address>;

/// A kind of service: what it adds to the command line and the configuration, and how it comes about.
class ModeEntry {
public:
    Mode mode;
    std::string_view name;  ///< In the configuration.
    std::string_view use;   ///< What for: `to run processes`.
    CommandEntry command;
    std::span<const Option> (*options)();  ///< Those that it alone has, or the modes of its folder.

    /// What of its own settings cannot work.
    void (*check)(Checker&);

    /// What works, and is dangerous or wrong where it is not meant. None without such.
    std::vector<std::string> (*warn)(const Settings&, const ServiceSettings&) = nullptr;

    /// Where it listens besides `listen`. None for nowhere.
    std::vector<Listener> (*listeners)(const ServiceSettings&) = nullptr;

    /// Makes a service of it: reads its files and binds its addresses, so that it can run. The error says what failed.
    Parsed<std::unique_ptr<RunningService>> (*prepare)(const OwnedSettings&, ServiceContext&);

    /// What the operator calls the cap on all connections to the service.
    std::string_view connections_option = "max-connections";

    /// Whether a service with other options can take its place while its sessions go on.
    bool replaceable = true;
};

/// In the order in which they are explained.
std::span<const ModeEntry* const> all_modes();

const ModeEntry& entry_of(Mode mode);

}  // namespace instancer::daemon
