// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// The two ends of a pipe.
class PipeEnds {
public:
    /// Takes both ends over.
    PipeEnds(UniqueFd to_read, UniqueFd to_write) : reader(std::move(to_read)), writer(std::move(to_write)) {}

    UniqueFd reader;  ///< Yields what the other end takes.
    UniqueFd writer;  ///< When it and all its copies are closed, the reader's end comes.
};

/// Makes a pipe that no program inherits. `flags` are further ones of pipe2(2), such as O_NONBLOCK.
///
/// Errors: what the system reports, as when no descriptor is left.
inline Result<PipeEnds> make_pipe(int flags = 0)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | flags) != 0)
        return fail(last_error(), "making a pipe");
    return PipeEnds(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

}  // namespace instancer
