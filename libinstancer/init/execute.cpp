// SPDX-License-Identifier: MIT
// instancer-init exec [KEY=VALUE]... -- PROGRAM NAME [ARGUMENT]...
//
// Takes the user of an instance, and all else that the instance gets, and executes its program. The library executes it
// first, as its own user: who runs as the instance's user can stop this program, and nobody waits for it.
//
//   report=FD        where a failure is written, as "ERRNO STEP"; the end without one means that the program runs
//   parent=PID       whose child this is, and dies with
//   terminal=        descriptor 0 becomes the controlling terminal
//   user=UID group=GID groups=GID,...
//   directory=PATH   the working directory
//   limit=RESOURCE:VALUE
#include <unistd.h>

#include <instancer/detail/process/instance_setup.hpp>

#include "settings.hpp"

namespace init {

namespace {

using instancer::detail::InstanceSetup;

constexpr std::size_t most_groups = 65536, most_limits = 16;
gid_t groups[most_groups];
InstanceSetup::Limit limits[most_limits];

void read_groups(InstanceSetup& setup, const char* text)
{
    setup.groups = groups;
    while (*text != '\0' && setup.group_count < most_groups) {
        groups[setup.group_count++] = static_cast<gid_t>(number(text));
        text += *text == ',';
    }
}

void read_limit(InstanceSetup& setup, const char* text)
{
    if (setup.limit_count == most_limits)
        fail(E2BIG, "reading its limits");
    auto& limit = limits[setup.limit_count++];
    limit.resource = static_cast<int>(number(text));
    text += *text == ':';
    limit.value = number(text);
    setup.limits = limits;
}

void read_setting(InstanceSetup& setup, const Setting& setting)
{
    const auto* value = setting.value();
    if (setting.is("report"))
        report_to(static_cast<int>(number(value)));
    else if (setting.is("parent"))
        setup.parent = static_cast<pid_t>(number(value));
    else if (setting.is("terminal"))
        setup.terminal = true;
    else if (setting.is("user"))
        setup.user = static_cast<uid_t>(number(value));
    else if (setting.is("group"))
        setup.group = static_cast<gid_t>(number(value));
    else if (setting.is("groups"))
        read_groups(setup, value);
    else if (setting.is("directory"))
        setup.directory = value;
    else if (setting.is("limit"))
        read_limit(setup, value);
    else
        Setting::refuse();
    setup.changes_user = setup.changes_user || setting.is("user");
}

}  // namespace

void execute(int argc, char** argv, char** envp)
{
    InstanceSetup setup;
    auto** program = read_settings(argc, argv, 2, [&](const Setting& setting) { read_setting(setup, setting); });
    if (const char* failed = setup.apply())
        fail(errno, failed);
    ::execve(program[0], program + 1, envp);
    fail(errno, "starting the program");
}

}  // namespace init
