// SPDX-License-Identifier: MIT
#include <functional>
#include <iostream>

#include "authentication/list_owners.hpp"
#include "config/command_line.hpp"
#include "config/text.hpp"
#include "config/validate.hpp"
#include "daemon/daemon.hpp"
#include "files/upstreams.hpp"

int main(int argc, char** argv)
{
    using namespace instancer::daemon;

    auto command = parse_command_line({argv + 1, argv + argc});
    switch (command.kind) {
    case Command::Kind::print: std::cout << command.text << std::flush; return 0;
    case Command::Kind::misuse: std::cerr << "instancerd: " << command.text << std::endl; return 2;
    case Command::Kind::serve:
    case Command::Kind::check:
    case Command::Kind::owners: break;
    }

    const auto& settings = command.settings;
    auto problems = std::move(command.problems);
    for (auto& problem : validate(settings))
        problems.push_back(std::move(problem));
    sort(problems);
    for (const auto& problem : problems)
        std::cerr << (problem.place().line() == 0 ? "instancerd: " : "") << problem.format(settings.file) << '\n';
    if (!problems.empty())
        return 2;
    if (command.kind == Command::Kind::serve)
        return serve(settings);
    if (command.kind == Command::Kind::owners) {
        std::cout << list_owners(settings) << std::flush;
        return 0;
    }
    std::size_t warnings = 0;
    for (const auto& service : settings.services)
        for (const auto& find :
             {std::function(warnings_of), std::function(unknown_hosts), std::function(unbound_limits_of)})
            for (const auto& warning : find(settings, service)) {
                std::cerr << "warning: " << service.name << ": " << warning << '\n';
                ++warnings;
            }
    std::cerr << counted(settings.services.size(), "service") << ", "
              << (warnings == 0 ? "nothing wrong" : counted(warnings, "warning")) << '\n';
    return 0;
}
