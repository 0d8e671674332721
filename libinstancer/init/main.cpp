// SPDX-License-Identifier: MIT
// instancer-init TASK [KEY=VALUE]... -- PROGRAM...
//
// What the library has a program of its own do, because it must be done by another process than the library's. The
// first word says what. It is static and needs libc alone: it also has to run where there are no libraries.
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include "settings.hpp"

namespace init {

namespace {

int report = -1;  ///< None: somebody reads what we write.

}  // namespace

void fail(int error, const char* step)
{
    if (report >= 0)
        ::dprintf(report, "%d %s\n", error, step);
    else
        ::dprintf(STDERR_FILENO, "instancer-init: %s: %s\n", step, std::strerror(error));
    ::_exit(127);
}

void report_to(int descriptor)
{
    report = descriptor;
    ::fcntl(report, F_SETFD, FD_CLOEXEC);
}

}  // namespace init

int main(int argc, char** argv, char** envp)
{
    const auto is = [&](const char* task) { return argc > 1 && std::strcmp(argv[1], task) == 0; };
    if (is("exec"))
        init::execute(argc, argv, envp);
    if (is("mounts"))
        init::mount_and_execute(argc, argv, envp);
    if (is("supervise"))
        init::supervise(argc, argv);
    init::fail(EINVAL, "instancer-init is executed by the library instancer, not by hand");
}
