// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <unistd.h>

namespace instancer {

/// Owns a file descriptor. Movable, not copyable.
class UniqueFd {
public:
    UniqueFd() = default;
    /// Takes `fd`; none when it is negative.
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    /// Leaves `other` without a descriptor.
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    /// Closes what it owned, and leaves `other` without a descriptor.
    UniqueFd& operator=(UniqueFd&& other) noexcept
    {
        reset(other.release());
        return *this;
    }
    ~UniqueFd() { reset(); }

    /// Whether it owns one.
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// The descriptor, which it goes on to own; negative when there is none.
    int get() const noexcept { return fd_; }
    /// The descriptor, which is the caller's from now on.
    int release() noexcept { return std::exchange(fd_, -1); }
    /// Closes what it owned, and takes `fd`.
    void reset(int fd = -1) noexcept
    {
        if (const int old = std::exchange(fd_, fd); old >= 0)
            ::close(old);
    }

private:
    int fd_ = -1;
};

}  // namespace instancer
