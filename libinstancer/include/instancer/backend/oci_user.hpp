// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <instancer/result.hpp>

namespace instancer {

/// A user of an image, by number.
class OciUser {
public:
    uid_t uid = 0;              ///< The user.
    gid_t gid = 0;              ///< The group.
    std::vector<gid_t> groups;  ///< The further groups.
    std::string home = "/";     ///< What HOME is.

    OciUser() = default;
};

/// Looks `user` up in `/etc/passwd` and `/etc/group` below `root`: `USER`, `USER:GROUP`, by name or number, as Docker
/// does. No link in the image leads out of `root`. Empty: root.
///
/// Time: reads these two files, of at most 1 MiB each.
/// Errors: Errc::bad_request when the image has no such user or group; what the system reports.
/// Threads: any.
Result<OciUser> find_oci_user(const std::filesystem::path& root, std::string_view user);

}  // namespace instancer
