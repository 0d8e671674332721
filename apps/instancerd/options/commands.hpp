// SPDX-License-Identifier: MIT
// The table of commands. Usage, --help, the manual and the shells' completions follow it.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "options/option.hpp"

namespace instancer::daemon {

/// What the user can tell instancerd to do.
class CommandEntry {
public:
    static constexpr Scope no_options{};  ///< Of a command that serves nothing.

    std::string_view words;                 ///< As in `tunnel server`.
    std::array<std::string_view, 3> forms;  ///< What may follow these words; the first is the usual one.
    std::string_view brief = {};            ///< Beside the usual form, where that does not say it.
    std::string_view purpose;
    std::array<std::string_view, 2> examples = {};  ///< What may follow `instancerd`.
    std::string_view remarks = {};                  ///< Lines below the forms.
    std::string_view stray = {};                    ///< The remedy for a word that belongs to no option.
    std::string_view flag = {};                     ///< One of its own, which no table has.
    std::string_view flag_help = {};                ///< The effect of that flag.
    Scope scope = Scope::daemon;                    ///< Of its options, besides those of the daemon.
    bool is_part = false;  ///< Of the command of its first word, which stands for it in --help.

    bool reads_configuration() const { return scope == Scope::daemon; }
    /// Whether it takes the option, which others need not.
    bool has_own(std::string_view option) const;
    bool knows(const Option& option) const { return scope != no_options && takes(scope, option.scope); }
};

/// Those of all modes, in their order, then those that read a configuration, then those that serve nothing.
std::vector<CommandEntry> commands();

/// The first word of each command.
std::vector<std::string_view> first_words();

}  // namespace instancer::daemon
