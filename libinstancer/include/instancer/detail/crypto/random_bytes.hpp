// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include <sys/random.h>

namespace instancer::detail {

/// Bytes that nobody can foretell, 256 at most. It waits only while the system has just started.
inline std::string random_bytes(std::size_t count)
{
    std::string bytes(count, '\0');
    while (::getrandom(bytes.data(), count, 0) != static_cast<ssize_t>(count)) {}
    return bytes;
}

}  // namespace instancer::detail
