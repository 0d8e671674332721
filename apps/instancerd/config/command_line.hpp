// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "config/problem.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// What the command line asks for.
class Command {
public:
    enum class Kind {
        print,       ///< Print `text` and succeed.
        misuse,      ///< Print `text` as an error.
        serve,       ///< Run `settings`, if there are no `problems`.
        check,       ///< Report `problems`.
        owners,      ///< List whose tokens are accepted.
        find_flags,  ///< Say whose the flags on standard input are.
        prune,       ///< Remove unpacked images that nobody uses.
        act,         ///< Call `act` for the exit code.
    };

    explicit Command(Kind command_kind, std::string output = {}) : kind(command_kind), text(std::move(output)) {}

    Kind kind;
    std::string text;
    Settings settings;
    Problems problems;
    bool strict = false;  ///< Weak isolation is a problem, too.
    std::function<int()> act;
};

/// `arguments` are those after the program's name. Reads the configuration file that they name.
Command parse_command_line(std::vector<std::string> arguments);

}  // namespace instancer::daemon
