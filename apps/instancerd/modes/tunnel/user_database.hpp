// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "options/values.hpp"

struct sqlite3;

namespace instancer::daemon {

/// The users of a tunnel's server: the table `user` of an SQLite database, as the original made it.
///
/// Another file that takes the place of the one that was opened is opened instead; while there is none that can be
/// used, every function says why.
///
/// No function waits while another process has the database: it fails, and `busy` says so.
///
/// Threads: one at a time.
class UserDatabase {
public:
    /// Opens `file`, which must exist and have the table. The error says how to make it. It may block, for two seconds
    /// at most while another process has the database.
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

    /// Whether the last call failed because another process has the database; it may succeed in a moment.
    bool busy() const noexcept { return busy_; }

private:
    class Statement;

    /// Of a file as long as somebody has it open, whatever its name has become.
    using FileIdentity = std::pair<dev_t, ino_t>;

    UserDatabase(std::string file, FileIdentity identity, sqlite3* handle)
        : file_(std::move(file)), identity_(identity), handle_(handle)
    {
    }

    static FileIdentity identity_of(const std::string& file) noexcept;

    /// Opens `file` and waits for so long while another process has it. `busy` tells whether that was in vain.
    static Parsed<std::unique_ptr<UserDatabase>> open(const std::string& file, std::chrono::milliseconds patience,
                                                      bool& busy);

    /// Begins a call: opens what has taken the place of the file.
    Parsed<void> keep_up();

    tl::unexpected<std::string> failure();

    const std::string file_;
    FileIdentity identity_;
    sqlite3* handle_;
    bool busy_ = false;
};

}  // namespace instancer::daemon
