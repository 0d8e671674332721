// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <instancer/backend/instance_secret.hpp>
#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/terminal_mode.hpp>

namespace instancer {

/// How a client reaches a process.
enum class ProcessIo {
    stdio,   ///< A socket pair, or a terminal, is its standard input and output.
    socket,  ///< The client's own socket is its standard input and output.
    port,    ///< It listens on a port that we choose.
};

/// Ports from `first` to `last`, both included.
class PortRange {
public:
    /// From `first` to `last`.
    PortRange(std::uint16_t first, std::uint16_t last) : first_(first), last_(last) {}

    /// The lowest port.
    std::uint16_t first() const noexcept { return first_; }
    /// The highest port.
    std::uint16_t last() const noexcept { return last_; }
    /// How many ports these are.
    std::size_t size() const noexcept { return last_ < first_ ? 0 : std::size_t{last_} - first_ + 1; }

private:
    std::uint16_t first_, last_;
};

/// Whom a process runs as.
class ProcessUser {
public:
    /// The user, the group and the further groups, by number.
    ProcessUser(uid_t uid, gid_t gid, std::vector<gid_t> groups) : uid_(uid), gid_(gid), groups_(std::move(groups)) {}

    /// The user.
    uid_t uid() const noexcept { return uid_; }
    /// The group.
    gid_t gid() const noexcept { return gid_; }
    /// The further groups.
    const std::vector<gid_t>& groups() const noexcept { return groups_; }

private:
    uid_t uid_;
    gid_t gid_;
    std::vector<gid_t> groups_;
};

/// Users from `first` to `last`, both included, by number; their groups have the same numbers.
class UserRange {
public:
    /// From `first` to `last`.
    UserRange(uid_t first, uid_t last) : first_(first), last_(last) {}

    /// The lowest user.
    uid_t first() const noexcept { return first_; }
    /// The highest user.
    uid_t last() const noexcept { return last_; }
    /// How many users these are.
    std::size_t size() const noexcept { return last_ < first_ ? 0 : std::size_t{last_} - first_ + 1; }

private:
    uid_t first_, last_;
};

/// The program that a ProcessBackend starts, and how.
class ProcessOptions {
public:
    /// Program and arguments. In each, `{port}` reads as the instance's port, `{dir}` as its directory, and
    /// `{listen-port}` as the port that its first client connected to.
    std::vector<std::string> command;
    ProcessIo io = ProcessIo::stdio;     ///< How a client reaches the process.
    StderrTo stderr_to = StderrTo::log;  ///< Where its standard error goes.
    std::optional<PortRange> ports;      ///< With `ProcessIo::port`; none lets us choose any free one.
    /// With `ProcessIo::stdio`: a terminal instead of a socket pair.
    TerminalMode pty = TerminalMode::none;
    std::string working_directory;  ///< May hold `{dir}`; empty: `{dir}` if there is one, else ours.
    std::string dir_template;       ///< Copied to every instance's `{dir}`; empty for none.
    /// The whole environment beside PATH and what we tell. Placeholders in a value are as in the arguments.
    std::vector<std::pair<std::string, std::string>> env;
    bool client_env = true;           ///< Tell the instance by environment who its client is.
    InstanceSecret secret;            ///< Its file is `{dir}/` and a path below that, in a directory that is there.
    std::optional<ProcessUser> user;  ///< None: whom we run as.
    std::optional<UserRange> users;   ///< In place of `user`: each instance has one of them for itself.
    /// Path of the program `instancer-init`, which takes `user` or one of `users`, so that nobody who runs as that user
    /// can keep us from starting others. Empty: the process does it by itself, and a start may fail after a second.
    std::string init;
    /// This limit and the next two hold for an instance as a whole where it has control groups with that controller.
    /// Elsewhere memory is address space of each process, processes are those of the user, and processors are not
    /// limited.
    std::uint64_t limit_memory = 0;              ///< Bytes, with swap; 0 means no limit.
    std::uint64_t limit_pids = 0;                ///< Processes and threads; 0 means no limit.
    double limit_cpus = 0;                       ///< Processors; 0 means no limit.
    std::uint64_t limit_nofile = 0;              ///< Descriptors of each process; 0 means no limit.
    std::uint64_t limit_core = 0;                ///< Bytes of a core file; 0 means none is written.
    std::chrono::milliseconds stop_grace{2000};  ///< Between TERM and KILL.
    std::string name = "instancer";              ///< Of the daemon: instances that were left behind are found by it.

    ProcessOptions() = default;
};

}  // namespace instancer
