// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include <instancer/instance.hpp>
#include <instancer/stream.hpp>
#include <instancer/usage.hpp>

namespace instancer {

/// The right to use an instance for one session. Giving it back, by destroying it, only notifies the pool.
///
/// Movable, not copyable.
/// Threads: any one at a time.
class Lease {
public:
    Lease() = default;
    /// For pools: `give_back` is called once, when the lease ends.
    Lease(Instance instance, std::shared_ptr<Usage> usage, Stream stream, std::function<void()> give_back)
        : instance_(std::move(instance)),
          usage_(std::move(usage)),
          stream_(std::move(stream)),
          give_back_(std::move(give_back))
    {
    }
    /// Leaves `other` without a lease.
    Lease(Lease&& other) noexcept
        : instance_(std::move(other.instance_)),
          usage_(std::move(other.usage_)),
          stream_(std::move(other.stream_)),
          give_back_(std::exchange(other.give_back_, nullptr))
    {
    }
    /// Gives back what it held, and leaves `other` without a lease.
    Lease& operator=(Lease&& other) noexcept
    {
        Lease old(std::move(*this));
        instance_ = std::move(other.instance_);
        usage_ = std::move(other.usage_);
        stream_ = std::move(other.stream_);
        give_back_ = std::exchange(other.give_back_, nullptr);
        return *this;
    }
    ~Lease()
    {
        if (give_back_)
            give_back_();
    }

    /// Whether there is a lease at all.
    explicit operator bool() const noexcept { return give_back_ != nullptr; }

    /// The instance that may be used.
    const Instance& instance() const noexcept { return instance_; }

    /// Counts what passes; alive as long as the lease.
    Usage& usage() noexcept { return *usage_; }

    /// The connection that proved the instance ready, for the client that waited for it; empty for later ones, who
    /// open their own.
    Stream take_stream() noexcept { return std::move(stream_); }

private:
    Instance instance_;
    std::shared_ptr<Usage> usage_;
    Stream stream_;
    std::function<void()> give_back_;
};

}  // namespace instancer
