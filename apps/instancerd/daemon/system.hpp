// SPDX-License-Identifier: MIT
// What must be asked of the system to know whether the settings can work.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

#include "options/values.hpp"

namespace instancer::daemon {

/// The whole contents, of 64 MiB at most, without a byte-order mark. The error names the file.
///
/// What a pipe or a terminal gives is waited for, for `patience` at most, and kept: later calls get the same again.
///
/// Threads: any.
Parsed<std::string> read_file(const std::string& path, std::chrono::milliseconds patience = std::chrono::seconds(10));

/// Whether it is a pipe or a terminal of which `read_file` has all that it gives.
bool was_read_once(const std::string& path);

/// Whether every user of this machine may read it.
bool is_readable_by_all(const std::string& path);

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

/// `NAME|UID`
Parsed<uid_t> find_user_id(const std::string& text);

/// `NAME|GID`
Parsed<gid_t> find_group(const std::string& text);

/// What tells this machine from others: its id, or the host name of the container that this is.
std::string machine_identity();
/// Where instancer-init is: beside this program, or where an installation has it; empty when it is in neither place.
std::string find_init();

/// The name of a user whose number is from `first` to `last`; empty when nobody has one.
std::string known_user(uid_t first, uid_t last);

bool is_directory(const std::string& path);

/// Whether files can be made in it; the error says what is wrong.
Parsed<void> check_writable_directory(const std::string& path);

}  // namespace instancer::daemon
