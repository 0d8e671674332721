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
//
// The first word says what to do, so that the same program can do more one day. It is static and needs libc alone: it
// also has to run where there are no libraries.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/process/instance_setup.hpp>

namespace {

using instancer::detail::InstanceSetup;

constexpr std::size_t most_groups = 65536, most_limits = 16;
gid_t groups[most_groups];
InstanceSetup::Limit limits[most_limits];
int report = STDERR_FILENO;

[[noreturn]] void fail(int error, const char* step)
{
    ::dprintf(report, "%d %s\n", error, step);
    ::_exit(127);
}

/// The number that `text` begins with; `text` is then what follows it.
unsigned long long number(const char*& text)
{
    char* end = nullptr;
    errno = 0;
    const auto value = std::strtoull(text, &end, 10);
    if (end == text || errno != 0)
        fail(EINVAL, "reading a number among its settings");
    text = end;
    return value;
}

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

/// A setting that is not known belongs to a library that is newer than this program.
void read_setting(InstanceSetup& setup, const char* setting)
{
    const char* value = std::strchr(setting, '=');
    if (value == nullptr)
        fail(EINVAL, "reading its settings");
    const auto length = static_cast<std::size_t>(value++ - setting);
    const auto is = [&](const char* key) {
        return std::strlen(key) == length && std::strncmp(setting, key, length) == 0;
    };
    if (is("report"))
        report = static_cast<int>(number(value));
    else if (is("parent"))
        setup.parent = static_cast<pid_t>(number(value));
    else if (is("terminal"))
        setup.terminal = true;
    else if (is("user"))
        setup.user = static_cast<uid_t>(number(value));
    else if (is("group"))
        setup.group = static_cast<gid_t>(number(value));
    else if (is("groups"))
        read_groups(setup, value);
    else if (is("directory"))
        setup.directory = value;
    else if (is("limit"))
        read_limit(setup, value);
    else
        fail(ENOSYS, "reading settings of another version of the library");
    setup.changes_user = setup.changes_user || is("user");
}

}  // namespace

int main(int argc, char** argv, char** envp)
{
    if (argc < 2 || std::strcmp(argv[1], "exec") != 0)
        fail(EINVAL, "instancer-init is executed by the library instancer, not by hand");
    InstanceSetup setup;
    int at = 2;
    for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at)
        read_setting(setup, argv[at]);
    if (argc - at < 3)
        fail(EINVAL, "reading which program to execute");
    ::fcntl(report, F_SETFD, FD_CLOEXEC);
    if (const char* failed = setup.apply())
        fail(errno, failed);
    ::execve(argv[at + 1], argv + at + 2, envp);
    fail(errno, "starting the program");
}
