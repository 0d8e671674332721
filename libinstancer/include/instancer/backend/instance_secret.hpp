// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <sys/types.h>

#include <instancer/instance.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// The owner of a file, by number.
class FileOwner {
public:
    /// The user and the group.
    FileOwner(uid_t user, gid_t group) : uid(user), gid(group) {}

    uid_t uid;  ///< The user.
    gid_t gid;  ///< The group.
};

/// A secret that each instance has for itself, such as a flag, and how the instance gets it: by its environment, or in
/// a file that is there before its first client comes. A warm instance gets the file when it is claimed.
class InstanceSecret {
public:
    /// Makes the secret for the client of the request. Without this there is no secret.
    ///
    /// Errors: for the operator; the instance is stopped, and its clients are refused.
    /// Threads: any.
    std::function<Result<std::string>(const InstanceRequest&)> make;
    std::string variable = "FLAG";   ///< Of the environment, where there is no file.
    std::string file;                ///< Path of the file; empty: the environment holds the secret.
    mode_t mode = 0400;              ///< Of the file.
    std::optional<FileOwner> owner;  ///< Of the file; none: the instance's user.
    std::string version;             ///< An instance that a crash left is taken over only if its version was the same.

    InstanceSecret() = default;

    /// Whether an instance of `request` has one.
    bool is_for(const InstanceRequest& request) const { return make && request.identity(); }
    /// Whether it is handed over in a file.
    bool has_file() const noexcept { return make && !file.empty(); }
};

}  // namespace instancer
