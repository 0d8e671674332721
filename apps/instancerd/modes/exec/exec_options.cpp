// SPDX-License-Identifier: MIT
#include "modes/exec/exec.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;

constexpr Choice<ProcessIo> ios[] = {
    {"stdio", ProcessIo::stdio}, {"socket", ProcessIo::socket}, {"port", ProcessIo::port}};

Parsed<void> set_directory(Target to, const std::string& text)
{
    return text.starts_with("{dir}") ? daemon::text<&S::working_directory>.parse(to, text)
                                     : file<&S::working_directory>.parse(to, text);
}

Parsed<void> set_ports(Target to, const std::string& text) { return set(to.service->ports, parse_ports(text)); }

std::string show_ports(const View& from) { return from.service->ports ? print_ports(*from.service->ports) : ""; }

constexpr std::string_view group = "Processes (exec)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "io", choice<ios, &S::io>, Scope::exec, {},
     "how to reach the process: its standard input and output; the client's own socket handed over to it; a port that "
     "it listens on, {port} in its arguments and PORT in its environment",
     {.effect = Effect::restart}},
    {group, "ports", custom<Shape::text, set_ports, show_ports>.called("FIRST-LAST"), Scope::exec, "any free port",
     "ports that the processes listen on, which also caps the instances",
     {.needs = {{{{"io", "port"}}}}, .conflict = {{"sandbox"}, "each instance has a network of its own"}}},
    {group, "sandbox", flag<&S::sandbox>, Scope::exec, {},
     "run each process in a container of its own, by crun or runc, with the programs and libraries of this host, the "
     "files that the command names, workdir where it is given, and nothing else of this host; the limits default to those "
     "of containers",
     {.conflict = {{"io", "socket"}, "the client's socket is one of this host's network", {"io", "stdio"}}, .effect = Effect::restart}},
    {group, "workdir", custom<Shape::text, set_directory, show<&S::working_directory>>.called("DIR"), Scope::exec,
     "the current directory, in a configuration its own; {dir} with dir-template",
     "working directory of the processes; may begin with {dir}"},
    {group, "dir-template", directory<&S::dir_template>, Scope::exec, {},
     "a directory to copy: each instance has a fresh private copy, named by {dir} in the arguments; without a "
     "template it begins empty",
     {.conflict = {{"sandbox"}, "its instances share files that none can change, and have a /tmp each"}}},
};
// clang-format on

}  // namespace

std::span<const Option> exec_options() { return table; }

}  // namespace instancer::daemon
