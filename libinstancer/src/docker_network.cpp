// SPDX-License-Identifier: MIT
#include "docker_network.hpp"

#include <algorithm>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <nlohmann/json.hpp>

#include <instancer/system/last_error.hpp>

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

UniqueFd own_network_namespace() { return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

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

Result<UniqueFd> socket_inside(int network_namespace, int family)
{
    static thread_local const UniqueFd home = own_network_namespace();
    if (::setns(network_namespace, CLONE_NEWNET) != 0)
        return fail(last_error(), "setns");
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto error = last_error();
    ::setns(home.get(), CLONE_NEWNET);
    if (!fd)
        return fail(error, "socket");
    return fd;
}

bool may_enter_namespaces()
{
    const auto own = own_network_namespace();
    return own && ::setns(own.get(), CLONE_NEWNET) == 0;
}

}  // namespace instancer::detail::inline docker
