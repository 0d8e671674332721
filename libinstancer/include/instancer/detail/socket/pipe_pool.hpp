// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <fcntl.h>

#include <instancer/system/make_pipe.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// A pipe that data pass through on their way from one socket to another without being copied (splice(2)).
class Pipe {
public:
    Pipe(UniqueFd to_read, UniqueFd to_write, std::size_t room)
        : out(std::move(to_read)), in(std::move(to_write)), capacity(room)
    {
    }

    UniqueFd out, in;
    const std::size_t capacity;
    std::size_t held = 0;  ///< Bytes in it.
};

/// The pipes of one thread. There are few, because the system limits their memory for each user; and none in a program
/// that does not ignore SIGPIPE, because splice(2) cannot be told not to raise it.
class PipePool {
public:
    static PipePool& of_thread()
    {
        static thread_local PipePool pool;
        return pool;
    }

    /// None when all are in use, or when the system grants none that is large enough to be worth it.
    std::unique_ptr<Pipe> take() noexcept
    {
        if (!free_.empty()) {
            auto pipe = std::move(free_.back());
            free_.pop_back();
            return pipe;
        }
        struct sigaction on_broken_pipe {};
        if (count_ == most || ::sigaction(SIGPIPE, nullptr, &on_broken_pipe) != 0 ||
            on_broken_pipe.sa_handler != SIG_IGN)
            return nullptr;
        auto ends = make_pipe(O_NONBLOCK);
        if (!ends)
            return nullptr;
        const int room = ::fcntl(ends->writer.get(), F_SETPIPE_SZ, wanted);
        if (room < least)
            return nullptr;
        auto pipe = std::unique_ptr<Pipe>(
            new (std::nothrow) Pipe(std::move(ends->reader), std::move(ends->writer), static_cast<std::size_t>(room)));
        if (pipe)
            ++count_;
        return pipe;
    }

    /// One that still holds something is closed.
    void give_back(std::unique_ptr<Pipe> pipe) noexcept
    {
        if (!pipe)
            return;
        if (pipe->held == 0 && free_.size() < kept)
            free_.push_back(std::move(pipe));
        else
            --count_;
    }

private:
    /// Pipes at once, and of these without work. A guess: each takes two descriptors and up to `wanted` of memory.
    static constexpr std::size_t most = 32, kept = 8;
    /// Bytes. Calculated: `wanted` is what an ordinary user may have, `least` four reads of 64 KiB.
    static constexpr int wanted = 1 << 20, least = 1 << 18;

    PipePool() { free_.reserve(kept); }

    std::vector<std::unique_ptr<Pipe>> free_;
    std::size_t count_ = 0;
};

}  // namespace instancer::detail
