// SPDX-License-Identifier: MIT
#include "options/commands.hpp"

#include <algorithm>

#include "ctl/ctl.hpp"
#include "modes/modes.hpp"
#include "options/options.hpp"
#include "proof/proof.hpp"

namespace instancer::daemon {

bool CommandEntry::has_own(std::string_view option) const
{
    return reads_configuration() ? option == "config" : find_option(option, scope) != nullptr;
}

std::vector<CommandEntry> commands()
{
    std::vector<CommandEntry> all;
    for (const auto* mode : all_modes())
        all.push_back(mode->command);
    all.push_back({.words = "run",
                   .forms = {"--config FILE [options]"},
                   .brief = "several services in one daemon",
                   .purpose = "Serves what a configuration says, several services in one daemon."});
    all.push_back({.words = "check",
                   .forms = {"--config FILE [--strict]"},
                   .brief = "say what is wrong with it; exit 2, or 0 when well",
                   .purpose =
                       "Says what is wrong with a configuration, by line and path, and starts nothing. Grades how "
                       "each service's instances are isolated, and says what to change; with --strict weak "
                       "isolation is wrong.",
                   .flag = "strict",
                   .flag_help = "weak isolation is wrong"});
    all.push_back({.words = "owners",
                   .forms = {"--config FILE"},
                   .brief = "list the owners of accepted tokens, as the log names them",
                   .purpose = "Lists each owner's hash, service and label, so that a line of the log can be traced."});
    all.push_back({.words = "flag check",
                   .forms = {"--config FILE"},
                   .brief = "find the owner of each flag on standard input",
                   .purpose =
                       "Finds the owner of each flag on standard input. One line each: flag, service, owner and label, "
                       "with tabs between, or that it is nobody's. Exit 0 when each is somebody's, 1 when one is "
                       "nobody's, 2 when the configuration is wrong."});
    all.push_back({.words = "oci prune",
                   .forms = {"--config FILE"},
                   .brief = "remove the unpacked images that it does not use",
                   .purpose = "Removes the unpacked images that no service of the configuration uses from its stores, "
                              "and says which. Nothing else removes them. The daemon must not run."});
    for (const auto& more : {proof_commands(), ctl_commands()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

std::vector<std::string_view> first_words()
{
    std::vector<std::string_view> words;
    for (const auto& command : commands())
        if (const auto word = command.words.substr(0, command.words.find(' '));
            std::find(words.begin(), words.end(), word) == words.end())
            words.push_back(word);
    return words;
}

}  // namespace instancer::daemon
