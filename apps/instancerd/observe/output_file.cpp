// SPDX-License-Identifier: MIT
#include "observe/output_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>

namespace instancer::daemon {

Parsed<UniqueFd> open_to_append(const std::string& file, std::string_view purpose)
{
    // A pipe that nobody reads must not hold us up.
    UniqueFd fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
    if (!fd)
        return wrong(file + " cannot be opened for " + std::string(purpose) + ": " +
                     (errno == ENXIO ? "it is a pipe that nobody reads" : std::strerror(errno)));
    return fd;
}

}  // namespace instancer::daemon
