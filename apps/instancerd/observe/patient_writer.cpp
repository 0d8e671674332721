// SPDX-License-Identifier: MIT
#include "observe/patient_writer.hpp"

#include <algorithm>
#include <cerrno>

#include <limits.h>
#include <poll.h>
#include <unistd.h>

namespace instancer::daemon {

std::size_t PatientWriter::write(std::string_view text)
{
    std::size_t done = 0;
    while (done < text.size() && wait_for_reader()) {
        // A pipe that is writable at all takes this much without blocking.
        const auto piece = text.substr(done, PIPE_BUF);
        const auto count = ::write(fd_, piece.data(), piece.size());
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            break;
        done += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    }
    return done;
}

bool PatientWriter::wait_for_reader()
{
    pollfd state{fd_, POLLOUT, 0};
    while (!gave_up_ && ::poll(&state, 1, 500) <= 0)
        gave_up_ = closing_;
    if (gave_up_)
        errno = EPIPE;
    return !gave_up_;
}

}  // namespace instancer::daemon
