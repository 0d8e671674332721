// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace bench {

/// A server under test, as a process of its own that listens on 127.0.0.1. Ended, and waited for, with the object.
class Subject {
public:
    /// Starts `command` and waits until `port` accepts.
    Subject(std::string name, std::uint16_t port, const std::vector<std::string>& command);
    Subject(const Subject&) = delete;
    Subject& operator=(const Subject&) = delete;
    ~Subject();

    const std::string& name() const noexcept { return name_; }
    std::uint16_t port() const noexcept { return port_; }
    pid_t pid() const noexcept { return pid_; }

private:
    std::string name_;
    std::uint16_t port_;
    pid_t pid_ = -1;
};

/// A port that nobody listens on, below those for outgoing connections; never the same one twice.
std::uint16_t fresh_port();

/// The full path of `program`, or an empty text.
std::string find_program(const std::string& program);

/// Writes a file into the run's own temporary directory, which goes with the process, and returns its path.
std::string temporary_file(const std::string& name, const std::string& text);

}  // namespace bench
