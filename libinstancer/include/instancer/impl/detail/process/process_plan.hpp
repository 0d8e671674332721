// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <sys/resource.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/group_limit.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/client_environment.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/detail/process/process_plan.hpp>

namespace instancer::detail {

INSTANCER_DECL std::string filled_in(std::string text, const InstanceRequest& request,
                                     const ProcessResources& resources)
{
    if (resources.port != 0)
        text = replaced(std::move(text), port_placeholder, std::to_string(resources.port));
    if (const auto port = listen_port_of(request))
        text = replaced(std::move(text), listen_port_placeholder, std::to_string(*port));
    if (!resources.directory.empty())
        text = replaced(std::move(text), directory_placeholder, resources.directory);
    return text;
}

INSTANCER_DECL std::vector<std::string> process_environment(const ProcessOptions& options,
                                                            const InstanceRequest& request,
                                                            const ProcessResources& resources, std::string_view mark)
{
    std::vector<std::string> all;
    if (!mark.empty())
        all.emplace_back(mark);
    const auto names = [](const Environment& variables, std::string_view key) {
        return std::any_of(variables.begin(), variables.end(), [key](const auto& entry) { return entry.first == key; });
    };
    const auto& own = request.environment();
    const auto add = [&](std::string_view key, std::string_view value) {
        if (!names(own, key) && !names(options.env, key))
            all.push_back(std::string(key) + "=" + std::string(value));
    };
    for (const auto& [key, value] : own)
        all.push_back(key + "=" + value);
    for (const auto& [key, value] : options.env)
        if (!names(own, key))
            all.push_back(key + "=" + filled_in(value, request, resources));
    add("PATH", default_search_path);
    if (options.pty != TerminalMode::none)
        add("TERM", "xterm");
    if (resources.port != 0)
        add("PORT", std::to_string(resources.port));
    if (!resources.directory.empty())
        add("INSTANCER_DIR", resources.directory);
    for (const auto& [key, value] : client_environment(request, options.client_env))
        add(key, value);
    return all;
}

INSTANCER_DECL std::vector<InstanceSetup::Limit> process_limits(const ProcessOptions& options,
                                                                const GroupLimiter& limiter)
{
    std::vector<InstanceSetup::Limit> limits;
    const auto add = [&limits](int resource, std::uint64_t value) {
        if (value != 0)
            limits.push_back({resource, value});
    };
    if (!limiter.binds(GroupLimit::memory))
        add(RLIMIT_AS, options.limit_memory);
    if (!limiter.binds(GroupLimit::pids))
        add(RLIMIT_NPROC, options.limit_pids);
    add(RLIMIT_NOFILE, options.limit_nofile);
    limits.push_back({RLIMIT_CORE, options.limit_core});
    return limits;
}

}  // namespace instancer::detail
