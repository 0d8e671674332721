// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "values.hpp"

struct sqlite3;

namespace instancer::daemon {

/// The users of a tunnel's server: the table `user` of an SQLite database, as the original made it.
///
/// Every function may block, for two seconds at most while another process has the database.
///
/// Threads: one at a time.
class UserDatabase {
public:
    /// Opens `file`, which must exist and have the table. The error says how to make it.
    static Parsed<std::unique_ptr<UserDatabase>> open(const std::string& file);

    ~UserDatabase();
    UserDatabase(const UserDatabase&) = delete;
    UserDatabase& operator=(const UserDatabase&) = delete;

    /// The name of the user with that address; none when there is none.
    Parsed<std::optional<std::string>> find(const std::string& address);

    /// Notes that the user has come.
    Parsed<void> note_login(const std::string& name);

    /// Without an address the user has none from then on. The error says so when there is no such user, and whose the
    /// address is already.
    Parsed<void> set_address(const std::string& name, const std::optional<std::string>& address);

    Parsed<std::vector<std::string>> names();

private:
    class Statement;

    UserDatabase(std::string file, sqlite3* handle) : file_(std::move(file)), handle_(handle) {}

    tl::unexpected<std::string> failure() const;

    const std::string file_;
    sqlite3* const handle_;
};

}  // namespace instancer::daemon
