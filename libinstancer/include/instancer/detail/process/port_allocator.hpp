// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Hands out TCP ports that can be listened on now, each to one holder at a time: a port that another allocator of
/// this process has handed out may look free still.
///
/// Threads: any. It may block for some milliseconds where many ports are taken.
class PortAllocator {
public:
    /// Without a range of its own it stays below the ports that the system gives to outgoing connections, and begins
    /// where other processes like this one hardly do.
    explicit PortAllocator(const std::optional<PortRange>& range)
        : range_(range.value_or(PortRange(20000, 32767))), next_(range ? 0 : static_cast<std::size_t>(::getpid()) * 97)
    {
    }

    /// Errors: Errc::full; what the system reports when no socket can be had to try with.
    Result<std::uint16_t> take()
    {
        // A port with fading connections suits only servers that set SO_REUSEADDR: the second choice.
        for (const bool reuse_address : {false, true})
            for (std::size_t tried = 0; tried < std::min(range_.size(), most_tries); ++tried) {
                const auto port = static_cast<std::uint16_t>(
                    range_.first() + next_.fetch_add(1, std::memory_order_relaxed) % range_.size());
                if (!Taken::insert(port))
                    continue;
                const auto free = can_bind(port, reuse_address);
                if (free && *free)
                    return port;
                Taken::erase(port);
                if (!free)
                    return fail(free.error());
            }
        return fail(Errc::full, "no port from " + std::to_string(range_.first()) + " to " +
                                    std::to_string(range_.last()) +
                                    " is free; each is in use, or a connection of it stays in TIME_WAIT for a minute, "
                                    "which only servers that set SO_REUSEADDR need not wait for: have them set it, or "
                                    "give more ports");
    }

    void give_back(std::uint16_t port) { Taken::erase(port); }

private:
    /// What all allocators of this process have handed out.
    class Taken {
    public:
        static bool insert(std::uint16_t port)
        {
            const std::lock_guard lock(mutex_);
            return ports_.insert(port).second;
        }
        static void erase(std::uint16_t port)
        {
            const std::lock_guard lock(mutex_);
            ports_.erase(port);
        }

    private:
        static inline std::mutex mutex_;
        static inline std::set<std::uint16_t> ports_;
    };

    /// A guess: some 30 ms of binding in vain.
    static constexpr std::size_t most_tries = 1000;

    static Result<bool> can_bind(std::uint16_t port, bool reuse_address)
    {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        UniqueFd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (probe) {
            const int off = 0;
            ::setsockopt(probe.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
            return can_bind(probe.get(), reinterpret_cast<const sockaddr*>(&v6), sizeof v6, reuse_address);
        }
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        probe.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!probe)
            return fail(last_error(), "looking for a free port");
        return can_bind(probe.get(), reinterpret_cast<const sockaddr*>(&v4), sizeof v4, reuse_address);
    }

    static bool can_bind(int probe, const sockaddr* address, socklen_t size, bool reuse_address)
    {
        const int on = 1;
        if (reuse_address)
            ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        return ::bind(probe, address, size) == 0;
    }

    PortRange range_;
    std::atomic<std::size_t> next_;
};

}  // namespace instancer::detail
