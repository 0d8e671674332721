// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <instancer/acceptor/source.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/client.hpp>

namespace instancer {

/// Places that clients take while an admission stage works on them. Several stages may share one.
///
/// A newcomer always gets a place. Where that is one too many, the oldest client of the source that has most loses its
/// own, as in an UnadmittedLimit: one source cannot keep all others out.
///
/// Lifetime: must outlive its places.
/// Threads: any.
class PlaceBudget {
public:
    using Place = UnadmittedLimit::Place;  ///< One place, which destroying gives back.

    /// `limit` places; 0 means no limit. IPv6 clients that share `source_prefix` bits, and IPv4 clients that share
    /// `source_prefix4`, count as one source.
    explicit PlaceBudget(std::size_t limit, unsigned source_prefix = 64, unsigned source_prefix4 = 32)
        : limit_(limit), source_prefix_(source_prefix), source_prefix4_(source_prefix4), places_(limit)
    {
    }

    /// Takes a place for `client`. `on_displaced` is called, on any thread, when the place is lost to another client;
    /// it may only post.
    Place take(const ClientInfo& client, std::function<void()> on_displaced)
    {
        return places_.enter(Source(client, source_prefix_, source_prefix4_), std::move(on_displaced));
    }

    /// How many there are; 0 means no limit.
    std::size_t limit() const noexcept { return limit_; }
    /// Places that are taken; 0 where there is no limit.
    std::size_t taken() const { return places_.count(); }

private:
    const std::size_t limit_;
    const unsigned source_prefix_, source_prefix4_;
    UnadmittedLimit places_;
};

}  // namespace instancer
