// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <instancer/pool/pool_load.hpp>
#include <instancer/proof_of_work/proof_dialogue.hpp>

namespace instancer {

/// How busy a service is.
class ServiceLoad : public PoolLoad {
public:
    std::size_t unadmitted = 0;      ///< Connections that have yet to be admitted.
    std::size_t max_unadmitted = 0;  ///< Their limit; 0: there is none.

    ServiceLoad() = default;
};

/// A new price, and the reason for it.
class PriceChange {
public:
    /// The price has become `price`.
    PriceChange(ProofDialogue::Seconds price, std::string reason) : now(price), why(std::move(reason)) {}

    ProofDialogue::Seconds now;  ///< 0: nothing is asked.
    std::string why;             ///< For the operator: `3 starts wait`.
};

/// The price of a proof of work, in steps of twice as much between two bounds: it rises at once with what is short, and
/// falls by a step whenever it has been too high for a while.
///
/// Without I/O and clock. Threads: one at a time.
class AdaptivePrice {
public:
    /// The clock of prices.
    using Time = std::chrono::steady_clock::time_point;
    /// A solver's time.
    using Seconds = ProofDialogue::Seconds;

    /// How long a price that is too high stays.
    static constexpr std::chrono::seconds patience{15};

    /// From `least`, with 0 nothing is asked while it is calm, to `most`.
    AdaptivePrice(Seconds least, Seconds most);

    /// Notes what is short at `now`. Call it every second or so.
    std::optional<PriceChange> update(const ServiceLoad& load, Time now);

    /// The price for a source with so many recent failures: each makes it a step higher.
    Seconds price(std::size_t failures = 0) const { return steps_[std::min(step_ + failures, steps_.size() - 1)]; }

    /// Steps from the lowest price to the highest: more failures than these cost no more.
    std::size_t steps() const noexcept { return steps_.size() - 1; }

private:
    std::vector<Seconds> steps_;
    std::size_t step_ = 0;
    Time justified_;  ///< When the price was last not too high, or fell.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/proof_of_work/adaptive_price.hpp>
#endif
