// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <instancer/backend/oci_options.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

#include "oci_runtime.hpp"

namespace instancer::detail::inline oci {

/// The control groups of one container.
class OciGroups {
public:
    OciGroups() = default;

    /// Whether the system has killed a process of them for want of memory.
    bool had_oom_kill() const { return count_oom_kills() > oom_kills_; }

    std::optional<InstanceGroup> unified;  ///< Of version 2.
    std::vector<std::string> paths;        ///< Of version 1; with a runtime that makes them, where it does so.

    /// Kills until now were those of containers before.
    void begin() { oom_kills_ = count_oom_kills(); }

private:
    std::uint64_t count_oom_kills() const
    {
        auto all = paths;
        if (unified)
            all.push_back(unified->path());
        return detail::count_oom_kills(all);
    }

    std::uint64_t oom_kills_ = 0;
};

/// What one run of a service has on this machine besides its containers: a directory, and control groups where the
/// runtime leaves them to us. Both are removed with it.
///
/// Threads: any, once it is made.
class OciHost {
public:
    /// Removes what earlier runs left, and makes what this one needs.
    ///
    /// Time: blocks.
    /// Errors: Errc::bad_request where limits cannot be set, with the remedy; what the system reports.
    static Result<std::unique_ptr<OciHost>> prepare(const OciOptions& options, const OciRuntime& runtime,
                                                    const std::string& service, Events& events);
    OciHost(const OciHost&) = delete;
    ~OciHost();

    std::string state() const { return directory_.path_of("state"); }    ///< What the runtime remembers.
    std::string bundle() const { return directory_.path_of("bundle"); }  ///< Where the runtime finds descriptor 4.
    std::string layer() const { return directory_.path_of("layer"); }    ///< Empty; for a container's own memory.
    std::string root() const { return directory_.path_of("root"); }      ///< Empty; for its root directory.
    std::string files() const { return directory_.path_of("files"); }    ///< Those of `OciOptions::root`.

    /// What a runtime that makes groups is to call those of the container of that number: no other daemon has one.
    std::string group_name(const std::string& number) const;

    /// Groups with limits for the container of that number. The process that runs the runtime has to join them.
    ///
    /// Errors: what the system reports; nothing is left behind then.
    Result<OciGroups> take_groups(const std::string& number);

    /// Ends what is left in them, and removes them.
    Result<void> give_back(OciGroups groups);

private:
    OciHost(const OciOptions& options, const OciRuntime& runtime, std::string run_name, PrivateDirectory directory);

    Result<void> make_directories() const;
    Result<void> check_limits() const;

    const OciRuntime runtime_;
    const std::string run_name_;
    PrivateDirectory directory_;
    ProcessOptions limits_;
    std::unique_ptr<ControlGroup> groups_;
    std::optional<GroupLimiter> limiter_;
};

}  // namespace instancer::detail::inline oci
