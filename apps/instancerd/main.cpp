// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iostream>

#include "command_line.hpp"
#include "daemon.hpp"
#include "upstreams.hpp"
#include "validate.hpp"

int main(int argc, char** argv)
{
    using namespace instancer::daemon;

    auto command = parse_command_line({argv + 1, argv + argc});
    switch (command.kind) {
    case Command::Kind::print: std::cout << command.text << std::flush; return 0;
    case Command::Kind::misuse: std::cerr << "instancerd: " << command.text << std::endl; return 2;
    case Command::Kind::serve:
    case Command::Kind::check: break;
    }

    const auto& settings = command.settings;
    auto problems = std::move(command.problems);
    for (auto& problem : validate(settings))
        problems.push_back(std::move(problem));
    std::stable_sort(problems.begin(), problems.end(),
                     [](const Problem& a, const Problem& b) { return a.place().line() < b.place().line(); });
    for (const auto& problem : problems)
        std::cerr << (settings.file.empty() ? "instancerd: " : "") << problem.format(settings.file) << '\n';
    if (!problems.empty())
        return 2;
    if (command.kind == Command::Kind::serve)
        return serve(settings);
    for (const auto& service : settings.services) {
        if (const auto danger = danger_of(settings, service); !danger.empty())
            std::cerr << "warning: " << service.name << ": " << danger << '\n';
        for (const auto& unknown : unknown_hosts(settings, service))
            std::cerr << "warning: " << service.name << ": " << unknown << '\n';
    }
    return 0;
}
