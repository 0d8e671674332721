// SPDX-License-Identifier: MIT
#include "modes/docker/docker.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using D = DockerOptions;

constexpr Choice<DockerPull> pulls[] = {{"missing", DockerPull::missing}, {"never", DockerPull::never}};

Parsed<void> set_stdio(Target to, const std::string& text)
{
    to.service->docker.io = text == "true" ? DockerIo::stdio : DockerIo::port;
    return {};
}

std::string show_stdio(const View& from) { return from.service->docker.io == DockerIo::stdio ? "on" : "off"; }

Parsed<void> set_writable(Target to, const std::string& text)
{
    to.service->docker.read_only = text != "true";
    return {};
}

std::string show_writable(const View& from) { return from.service->docker.read_only ? "off" : "on"; }

std::string show_port(const View& from)
{
    const auto port = from.service->docker.port;
    return port == 0 ? std::string() : std::to_string(port);
}

Parsed<void> add_mount(Target to, const std::string& text)
{
    const auto colon = text.find(':');
    if (colon == 0 || colon == text.npos || colon + 1 == text.size())
        return wrong("'" + text + "' is no mount; write SOURCE:TARGET, as in ./data:/data");
    const auto target = text.substr(colon + 1);
    if (target.front() != '/' || target.find(':') != target.npos)
        return wrong("'" + target +
                     "' is no absolute path inside the container; write SOURCE:/TARGET (mounts are "
                     "read-only always)");
    to.service->docker.mounts.emplace_back(to.settings.resolve(text.substr(0, colon)), target);
    return {};
}

Parsed<void> add_tmpfs(Target to, const std::string& text)
{
    const auto colon = text.find(':');
    if (text.empty() || text.front() != '/' || colon == text.npos)
        return wrong("'" + text + "' is no tmpfs; write PATH:SIZE, as in /run:8m");
    const auto size = parse_size(std::string_view(text).substr(colon + 1));
    if (!size)
        return wrong(size.error());
    if (*size == 0)
        return wrong("a tmpfs of size 0 holds nothing; write a size, as in /run:8m");
    to.service->docker.tmpfs.emplace_back(text.substr(0, colon), *size);
    return {};
}

Parsed<void> set_engine(Target to, const std::string& text)
{
    if (!text.starts_with("unix:///"))
        return wrong("'" + text + "' is no engine on this host; write unix:///var/run/docker.sock");
    to.service->docker.engine = text;
    return {};
}

constexpr Type runtime =
    by_mode<Mode::docker, text<&S::docker, &D::runtime>, text<&S::oci, &OciSettings::runtime>>.called("NAME|PATH");

/// Processes have it in a sandbox alone.
constexpr Needs in_container = {{{{"sandbox"}}}, {}, {}, Scope::exec};

constexpr std::string_view group = "Containers (docker, oci, exec with sandbox)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "image", text<&S::docker, &D::image>.called("IMAGE"), Scope::docker, {}, "image of the containers"},
    {group, "port", custom<Shape::number, count_in<1, 65535, &S::docker, &D::port>.parse, show_port>.called("N").within(1, 65535), Scope::containers,
     "the only one that the image exposes",
     "port that the program in the container listens on",
     {.conflict = {{"stdio"}}}},
    {group, "stdio", custom<Shape::flag, set_stdio, show_stdio>, Scope::containers, {},
     "reach the program by its standard input and output instead of a port",
     {.effect = Effect::restart}},
    {group, "pull", choice<pulls, &S::docker, &D::pull>, Scope::docker, {},
     "whether to pull an image that the engine does not have"},
    {group, "egress", flag<&S::docker, &D::egress>, Scope::docker, {},
     "let containers reach the outside; without it they have no network at all"},
    {group, "mount", custom<Shape::list, add_mount>.called("SOURCE:TARGET"), Scope::instances, {},
     "a directory or file of the host, read-only",
     {.needs = in_container, .key = "mounts"}},
    {group, "tmpfs", custom<Shape::list, add_tmpfs>.called("PATH:SIZE"), Scope::instances, {},
     "a further writable directory in memory, besides /tmp",
     {.needs = in_container}},
    {group, "writable", custom<Shape::flag, set_writable, show_writable>, Scope::containers, {},
     "let containers write to their root file system; it is gone with them"},
    {group, "runtime", runtime, Scope::instances, "docker: the engine's own; oci, sandbox: crun, or else runc",
     "the container runtime. docker: one that the engine knows, such as runsc; oci, sandbox: crun, runc, or the path of "
     "one with the same command line",
     {.needs = in_container}},
    {group, "engine", custom<Shape::text, set_engine, show<&S::docker, &D::engine>>.called("unix://PATH"), Scope::docker,
     "DOCKER_HOST, else unix:///var/run/docker.sock",
     "where the Docker engine listens"},
};
// clang-format on

}  // namespace

std::span<const Option> docker_options() { return table; }

}  // namespace instancer::daemon
