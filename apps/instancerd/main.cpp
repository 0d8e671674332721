// SPDX-License-Identifier: MIT
#include <functional>
#include <iostream>

#include <unistd.h>

#include "authentication/list_owners.hpp"
#include "config/command_line.hpp"
#include "config/text.hpp"
#include "config/validate.hpp"
#include "daemon/daemon.hpp"
#include "files/upstreams.hpp"
#include "flags/flag_search.hpp"
#include "isolation/isolation.hpp"
#include "modes/oci/oci_images.hpp"
#include "options/option.hpp"

namespace {

using namespace instancer::daemon;

/// Grades each service. The number of remarks that are errors, because isolation is weak and must not be.
std::size_t report_isolation(const Settings& settings, bool strict)
{
    std::size_t errors = 0;
    for (const auto& service : settings.services) {
        if (!includes(Scope::instances, scope_of(service.mode)))
            continue;
        const auto remarks = grade_isolation(settings, service, ::geteuid() == 0);
        if (remarks.empty())
            std::cerr << "isolation: " << service.name << ": " << name_of(Isolation::strong) << '\n';
        for (const auto& remark : remarks) {
            const bool is_error = strict && remark.isolation == Isolation::weak;
            errors += is_error ? 1 : 0;
            std::cerr << (is_error ? "error: " : "isolation: ") << service.name << ": " << name_of(remark.isolation)
                      << ": " << remark.text << '\n';
        }
    }
    return errors;
}

int report_warnings(const Settings& settings, bool strict)
{
    std::size_t warnings = 0;
    for (const auto& service : settings.services)
        for (const auto& find :
             {std::function(warnings_of), std::function(unknown_hosts), std::function(unbound_limits_of)})
            for (const auto& warning : find(settings, service)) {
                std::cerr << "warning: " << service.name << ": " << warning << '\n';
                ++warnings;
            }
    const auto errors = report_isolation(settings, strict);
    std::cerr << counted(settings.services.size(), "service") << ", "
              << (errors != 0     ? counted(errors, "error")
                  : warnings == 0 ? "nothing wrong"
                                  : counted(warnings, "warning"))
              << '\n';
    return errors == 0 ? 0 : 2;
}

int find_flags(const Settings& settings)
{
    const auto search = FlagSearch::load(settings);
    if (!search) {
        std::cerr << "instancerd: " << search.error() << '\n';
        return 2;
    }
    return search->answer(std::cin, std::cout) ? 0 : 1;
}

int prune(const Settings& settings)
{
    const auto pruned = prune_images(settings, std::cout);
    if (!pruned)
        std::cerr << "instancerd: " << pruned.error() << '\n';
    return pruned ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    auto command = parse_command_line({argv + 1, argv + argc});
    switch (command.kind) {
    case Command::Kind::print: std::cout << command.text << std::flush; return 0;
    case Command::Kind::misuse: std::cerr << "instancerd: " << command.text << std::endl; return 2;
    case Command::Kind::act: return command.act();
    case Command::Kind::serve:
    case Command::Kind::check:
    case Command::Kind::owners:
    case Command::Kind::find_flags:
    case Command::Kind::prune: break;
    }

    const auto& settings = command.settings;
    auto problems = std::move(command.problems);
    for (auto& problem : validate(settings))
        problems.push_back(std::move(problem));
    if (command.kind == Command::Kind::check && problems.empty())
        problems = check_containers(settings);
    sort(problems);
    for (const auto& problem : problems)
        std::cerr << (problem.place().line() == 0 ? "instancerd: " : "") << problem.format(settings.file) << '\n';
    if (!problems.empty())
        return 2;
    if (command.kind == Command::Kind::serve)
        return serve(settings, {argv + 1, argv + argc});
    if (command.kind == Command::Kind::owners) {
        std::cout << list_owners(settings) << std::flush;
        return 0;
    }
    if (command.kind == Command::Kind::find_flags)
        return find_flags(settings);
    if (command.kind == Command::Kind::prune)
        return prune(settings);
    return report_warnings(settings, command.strict);
}
