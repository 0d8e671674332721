// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <utility>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/resource_allocator.hpp>
#include <instancer/detail/process/tree_remover.hpp>

namespace instancer::detail {

INSTANCER_DECL ResourceAllocator::ResourceAllocator(const ProcessOptions& options, const std::string& service,
                                                    Events& events)
    : options_(options), service_(service), events_(events), ports_(options.ports), removals_(service, events)
{
    if (options_.users)
        users_.emplace(*options_.users);
}

INSTANCER_DECL Result<void> ResourceAllocator::prepare(const std::string& run_name)
{
    groups_ = ControlGroup::create(run_name);
    limiter_.emplace(run_name, groups_.get(), options_);
    for (const auto& text : unbound_limits(options_, [this](auto limit) { return limiter_->binds(limit); }))
        events_.notice(service_, text);
    if (!wants_directory(options_))
        return {};
    auto root = PrivateDirectory::create(run_name);
    if (!root)
        return fail(root.error());
    directories_.emplace(std::move(*root));
    return {};
}

INSTANCER_DECL bool ResourceAllocator::wants_directory(const ProcessOptions& options)
{
    const auto wants = [](const std::string& text) { return text.find(directory_placeholder) != std::string::npos; };
    return !options.dir_template.empty() || options.secret.has_file() || wants(options.working_directory) ||
           std::any_of(options.command.begin(), options.command.end(), wants) ||
           std::any_of(options.env.begin(), options.env.end(), [&](const auto& entry) { return wants(entry.second); });
}

INSTANCER_DECL Result<void> ResourceAllocator::take(ProcessResources& resources)
{
    if (options_.io == ProcessIo::port) {
        auto port = ports_.take();
        if (!port)
            return fail(port.error());
        resources.port = *port;
    }
    if (users_) {
        auto user = users_->take();
        if (!user)
            return fail(user.error());
        resources.user.emplace(std::move(*user));
    }
    if (directories_) {
        resources.directory = directories_->path_of(resources.number);
        auto made = directories_->add(resources.number, options_.dir_template, user_of(resources));
        if (!made)
            return fail(made.error());
    }
    return take_group(resources);
}

INSTANCER_DECL Result<void> ResourceAllocator::take_group(ProcessResources& resources)
{
    if (groups_) {
        auto taken = groups_->take();
        if (!taken)
            return fail(taken.error());
        resources.group.emplace(std::move(*taken));
    }
    auto limited = limiter_->apply(resources.number, resources.group ? &*resources.group : nullptr);
    if (!limited)
        return fail(limited.error());
    resources.limit_groups = std::move(*limited);
    // A group that was used before goes on counting.
    resources.oom_kills = count_oom_kills(resources.groups());
    return {};
}

INSTANCER_DECL Result<void> ResourceAllocator::give_back(ProcessResources& resources)
{
    ports_.give_back(resources.port);
    bool over = true;
    Result<void> result;
    if (resources.group) {
        result = groups_->give_back(std::move(*resources.group));
        over = result.has_value();
    } else if (resources.user) {
        over = kill_user(resources.user->uid());
    }
    resources.group.reset();
    GroupLimiter::remove(resources.limit_groups);
    if (!resources.directory.empty()) {
        TreeRemover::hide(directories_->path(), resources.number);
        removals_.remove(directories_->path(), resources.number);
    }
    if (resources.user && over)
        users_->give_back(resources.user->uid());
    else if (resources.user && result)
        result = fail(Errc::backend_unavailable, "user " + std::to_string(resources.user->uid()) +
                                                     " gets no further instance: its processes do not end");
    return result;
}

}  // namespace instancer::detail
