// SPDX-License-Identifier: MIT
// What must be asked of the system to know whether the settings can work.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "values.hpp"

namespace instancer::daemon {

/// The whole contents, of 256 MiB at most. The error names the file.
Parsed<std::string> read_file(const std::string& path);

/// The user, group and further groups that instances run with.
class User {
public:
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;

    User() = default;
};

/// `NAME|UID[:GROUP|GID]`. Without a group it is the user's own, with all of the user's further groups.
Parsed<User> find_user(const std::string& text);

/// What tells this machine from others: its id, or the host name of the container that this is.
std::string machine_identity();

bool is_directory(const std::string& path);

/// Whether files can be made in it; the error says what is wrong.
Parsed<void> check_writable_directory(const std::string& path);

}  // namespace instancer::daemon
