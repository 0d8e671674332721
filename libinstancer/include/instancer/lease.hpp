// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
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
    /// Gives leases out and gets them back.
    class Issuer {
    public:
        /// `in_order`: both directions of the session have ended.
        ///
        /// Must not end the caller, nor take long: it is called in the destructor of a lease, on any thread.
        virtual void give_back(std::uint64_t instance, std::uint32_t session, bool in_order) noexcept = 0;

    protected:
        ~Issuer() = default;
    };

    Lease() = default;

    /// `key` and `session` are what the issuer knows the instance and the session by. A lease may outlive its issuer.
    Lease(Instance instance, std::shared_ptr<Usage> usage, Stream stream, std::weak_ptr<Issuer> issuer,
          std::uint64_t key, std::uint32_t session)
        : instance_(std::move(instance)),
          usage_(std::move(usage)),
          stream_(std::move(stream)),
          issuer_(std::move(issuer)),
          key_(key),
          session_(session)
    {
    }
    /// Leaves `other` without a lease.
    Lease(Lease&& other) noexcept = default;
    /// Gives back what it held, and leaves `other` without a lease.
    Lease& operator=(Lease&& other) noexcept
    {
        if (this == &other)
            return *this;
        give_back();
        instance_ = std::move(other.instance_);
        usage_ = std::move(other.usage_);
        stream_ = std::move(other.stream_);
        issuer_ = std::move(other.issuer_);
        key_ = other.key_;
        session_ = other.session_;
        in_order_ = other.in_order_;
        start_time_ = other.start_time_;
        return *this;
    }
    ~Lease() { give_back(); }

    /// Whether there is a lease at all.
    explicit operator bool() const noexcept { return usage_ != nullptr; }

    /// The instance that may be used.
    const Instance& instance() const noexcept { return instance_; }

    /// Counts what passes; alive as long as the lease.
    Usage& usage() noexcept { return *usage_; }

    /// The connection that proved the instance ready, for the client that waited for it; empty for later ones, who
    /// open their own.
    Stream take_stream() noexcept { return std::move(stream_); }

    /// How long the client waited for the start of the instance; 0 if that was ready.
    std::chrono::nanoseconds start_time() const noexcept { return start_time_; }
    /// For issuers: sets how long that was.
    void start_time(std::chrono::nanoseconds time) noexcept { start_time_ = time; }

    /// Both directions of the session have ended: its instance may be about to end by itself.
    void completed() noexcept { in_order_ = true; }

private:
    void give_back() noexcept
    {
        if (const auto issuer = issuer_.lock())
            issuer->give_back(key_, session_, in_order_);
    }

    Instance instance_;
    std::shared_ptr<Usage> usage_;
    Stream stream_;
    std::weak_ptr<Issuer> issuer_;
    std::uint64_t key_ = 0;
    std::chrono::nanoseconds start_time_{0};
    std::uint32_t session_ = 0;
    bool in_order_ = false;
};

}  // namespace instancer
