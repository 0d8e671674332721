// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <sys/types.h>

namespace instancer {

/// Decides who may connect to a Unix socket: the permissions and the owner of its file.
class UnixPermissions {
public:
    /// A file with these permissions, of that user and group.
    UnixPermissions(mode_t permissions = 0666, std::optional<uid_t> user = std::nullopt,
                    std::optional<gid_t> user_group = std::nullopt)
        : mode(permissions), owner(user), group(user_group)
    {
    }

    mode_t mode;                 ///< Such as 0666.
    std::optional<uid_t> owner;  ///< None: the user of this process.
    std::optional<gid_t> group;  ///< None: the group of this process, or of a directory with the set-group-id bit.
};

}  // namespace instancer
