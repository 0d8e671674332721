// SPDX-License-Identifier: MIT
// Processes of containers, as this host sees them.
#pragma once

#include <string>

#include <instancer/backend/instance_secret.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail::inline docker {

/// Opens `entry` of the process `pid` in /proc, if that is a process of the container `id`.
///
/// Errors: Errc::start_failed when it is not: it has ended, or the engine runs on another host.
Result<UniqueFd> open_process_entry(int pid, const std::string& id, const std::string& entry, int flags);

/// Writes the secret's file through the mount namespace of the container `id`, one of whose processes is `pid`. Without
/// an owner it gets that of the process.
///
/// Errors: as those of `open_process_entry`, and those of the system.
/// Threads: any; it blocks for a moment.
Result<void> write_secret(int pid, const std::string& id, const InstanceSecret& secret, const std::string& text);

}  // namespace instancer::detail::inline docker
