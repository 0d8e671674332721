// SPDX-License-Identifier: MIT
#include "modes/container_checks.hpp"
#include "modes/docker/docker.hpp"

namespace instancer::daemon {

void check_docker(Checker& checker)
{
    const auto& service = checker.service;
    const auto& docker = service.docker;
    const bool stdio = docker.io == DockerIo::stdio;
    if (!docker.engine.starts_with("unix:///"))
        checker.refuse("engine", "is by DOCKER_HOST " + in_quotes(docker.engine) +
                                     ", which is no engine on this host; add " +
                                     checker.say("engine", "unix:///var/run/docker.sock"));
    if (docker.image.empty() && !checker.has("image"))
        checker.refuse("image", "has no image to run; add " + checker.say("image", "NAME"));
    const bool pty = service.pty != TerminalMode::none;
    if (service.pty == TerminalMode::raw || service.pty == TerminalMode::echo)
        checker.refuse("pty", std::string(service.pty == TerminalMode::raw ? "raw" : "echo") +
                                  " works only with exec and oci: a container's terminal is the engine's; write " +
                                  checker.say("pty"));
    if (stdio && pty && service.stderr_to != StderrTo::client)
        checker.refuse("stderr", "cannot work together with " + checker.say("pty") +
                                     ": a container's terminal is its standard error as well; remove one of them");
    if (!stdio && !pty && service.stderr_to != StderrTo::log)
        checker.refuse("stderr", "needs " + checker.say("stdio") +
                                     ": with a port the program's output is no part of the "
                                     "connection; add that or remove this");
    check_container_mounts(checker);
    checker.check_environment();
}

}  // namespace instancer::daemon
