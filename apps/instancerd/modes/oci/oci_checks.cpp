// SPDX-License-Identifier: MIT
#include <filesystem>
#include <system_error>

#include <instancer/backend/find_program.hpp>

#include "daemon/system.hpp"
#include "modes/container_checks.hpp"
#include "modes/oci/oci.hpp"

namespace instancer::daemon {

namespace {

bool is_installed(const std::string& program)
{
    ProcessOptions process;
    process.command = {program};
    return find_program(process).has_value();
}

void check_files(Checker& checker)
{
    const auto& service = checker.service;
    const auto& root = service.oci.root;
    const auto& archive = service.oci.archive;
    std::error_code error;
    const bool has_image = checker.has("archive");
    if (!has_image && !checker.has("rootfs"))
        checker.refuse("rootfs", "has no files to run in; add " + checker.say("rootfs", "DIR") + " or " +
                                     checker.say("archive", "FILE"));
    if (!root.empty() && !is_directory(root))
        checker.refuse("rootfs", "there is no directory " + root + "; create it or correct the path");
    else if (!root.empty() && std::filesystem::equivalent(root, "/", error))
        checker.refuse("rootfs", "would show instances all files of this host; name a directory of their own, or use "
                                 "instancerd exec --sandbox");
    if (is_directory(archive))
        checker.refuse("archive", "is a directory: " + archive + "; name a file that docker save wrote, or use " +
                                      checker.say("rootfs", archive));
    else if (!archive.empty() && !std::filesystem::is_regular_file(archive, error))
        checker.refuse("archive", "there is no file " + archive + "; write it by docker save, or correct the path");
    if (!has_image && service.command.empty() && service.reads("command"))
        checker.refuse("command", checker.settings.file.empty()
                                      ? "there is no command to run; put it last, after --, as in: -- /bin/cat"
                                      : "has no command to run; add \"command\": [\"PROGRAM\", \"ARGUMENT\", ...]");
    check_container_mounts(checker);
}

/// Without a group a number that the files' /etc/passwd lacks has the group of root, by the custom of images.
void check_user(Checker& checker)
{
    const auto& user = checker.service.user;
    if (user.find_first_not_of("0123456789") == user.npos && user.find_first_not_of('0') != user.npos)
        checker.refuse("user", "is a number without a group, whose group would be that of root; add " +
                                   checker.say("user", user + ":" + user));
}

}  // namespace

void check_runtime(Checker& checker)
{
    if (const auto& runtime = checker.service.oci.runtime; !runtime.empty() && !is_installed(runtime))
        checker.refuse("runtime", "there is no program " + runtime + "; install it, or correct the name");
}

void check_oci(Checker& checker)
{
    const auto& service = checker.service;
    const bool stdio = service.docker.io == ContainerIo::stdio;
    check_files(checker);
    if (!stdio && service.docker.port == 0 && !checker.has("port") && !checker.has("archive"))
        checker.refuse("port", "it is not known how to reach the program; add " + checker.say("stdio") + " or " +
                                   checker.say("port", "N"));
    if (service.pty != TerminalMode::none && checker.has("stderr") && service.stderr_to != StderrTo::client)
        checker.refuse("stderr", "cannot work together with " + checker.say("pty") +
                                     ": the terminal is its standard error as well; remove one of them");
    if (!stdio && service.pty == TerminalMode::none && service.stderr_to == StderrTo::client)
        checker.refuse("stderr", "client needs " + checker.say("stdio") +
                                     ": with a port the program's output is no part of the "
                                     "connection; add that or use log or null");
    if (checker.has("limit-log"))
        checker.refuse("limit-log", "is for output that an engine keeps, and there is none; remove it");
    check_user(checker);
    check_runtime(checker);
    checker.check_environment();
}

std::vector<std::string> warn_of_oci(const Settings& settings, const ServiceSettings&)
{
    std::vector<std::string> warnings;
    if (settings.init_program().empty())
        warnings.push_back("there is no instancer-init beside instancerd, without which no container starts; install "
                           "it, or name it by " +
                           settings.say("init", "PATH"));
    return warnings;
}

}  // namespace instancer::daemon
