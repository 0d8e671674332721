// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/port_allocator.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/detail/process/removals.hpp>
#include <instancer/detail/process/user_allocator.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Hands out what instances have for themselves: a port, a user, a directory, control groups with their limits.
///
/// Lifetime: `options` and `events` must outlive it.
/// Threads: any, once it is prepared; all of it may block.
class ResourceAllocator {
public:
    ResourceAllocator(const ProcessOptions& options, const std::string& service, Events& events);

    /// Makes what all instances of this run share, as far as the system allows it.
    ///
    /// Errors: what the system reports.
    Result<void> prepare(const std::string& run_name);

    /// What `resources` has got before a failure is still to be given back.
    ///
    /// Errors: Errc::full; what the system reports.
    Result<void> take(ProcessResources& resources);

    /// Takes back what an instance had whose processes were killed.
    ///
    /// Errors: for the operator, of processes that do not end.
    Result<void> give_back(ProcessResources& resources);

    /// The user that an instance runs as; null: ours.
    const ProcessUser* user_of(const ProcessResources& resources) const noexcept
    {
        if (resources.user)
            return &*resources.user;
        return options_.user ? &*options_.user : nullptr;
    }

    /// Null when the system or our privileges do not allow any.
    const ControlGroup* groups() const noexcept { return groups_.get(); }

    /// Whether each instance has a user for itself.
    bool has_users() const noexcept { return users_.has_value(); }

    /// Once prepared.
    const GroupLimiter& limiter() const noexcept { return *limiter_; }

    /// The directory that holds those of the instances, with its lock; none when no instance has one.
    const std::optional<PrivateDirectory>& directories() const noexcept { return directories_; }

    /// Removes directories that a previous run left behind, some time.
    void remove_stale(const std::vector<std::string>& paths)
    {
        for (const auto& path : paths)
            removals_.remove_all(path);
    }

    /// Leaves what is still to be removed to the cleanup process.
    void stop() { removals_.stop(); }

private:
    static bool wants_directory(const ProcessOptions& options);
    Result<void> take_group(ProcessResources& resources);

    const ProcessOptions& options_;
    const std::string service_;
    Events& events_;
    PortAllocator ports_;
    std::optional<UserAllocator> users_;
    std::unique_ptr<ControlGroup> groups_;
    std::optional<GroupLimiter> limiter_;
    std::optional<PrivateDirectory> directories_;
    Removals removals_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/resource_allocator.hpp>
#endif
