// SPDX-License-Identifier: MIT
#include "docker_network.hpp"

#include <algorithm>
#include <vector>

#include <sys/utsname.h>

#include <nlohmann/json.hpp>

#include "docker_json.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

namespace {

/// Whether the engine's containers are processes of this host.
bool is_local(const json& info)
{
    utsname host{};
    ::uname(&host);
    return text_at(info, "Name") == host.nodename && text_at(info, "KernelVersion") == host.release &&
           text_at(info, "OperatingSystem") != "Docker Desktop";
}

bool is_rootless(const json& info)
{
    const auto options = value_at(info, "SecurityOptions", std::vector<std::string>());
    return std::ranges::any_of(options, [](const auto& option) { return option.find("rootless") != option.npos; });
}

/// A sandbox that brings its own network stack has nothing listening in the namespace.
bool uses_host_kernel(const std::string& runtime)
{
    return runtime.empty() || runtime == "runc" || runtime == "crun" || runtime.starts_with("io.containerd.runc.");
}

}  // namespace

bool has_reachable_processes(const DockerOptions& options, const json& info)
{
    return is_local(info) && !is_rootless(info) && uses_host_kernel(options.runtime);
}

Result<Reach> choose_reach(const DockerOptions& options, const json& info, bool may_enter)
{
    if (options.io == DockerIo::stdio)
        return options.egress ? Reach::egress : Reach::inside;
    if (!is_local(info) || is_rootless(info))
        return fail(Errc::bad_request, "the Docker engine at " + options.engine +
                                           (is_rootless(info) ? " is rootless" : " runs on another host") +
                                           ", where the ports of its containers cannot be reached from here; use one "
                                           "that runs as root on this host, or --stdio");
    if (!may_enter || !uses_host_kernel(options.runtime))
        return Reach::address;
    return options.egress ? Reach::egress : Reach::inside;
}

}  // namespace instancer::detail::inline docker
