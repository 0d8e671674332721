// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include <instancer/proof_of_work/proof_style.hpp>

namespace instancer::daemon {

/// Of whom a proof of work is asked.
enum class ProofFor {
    start,    ///< Of clients for whom an instance would be started.
    connect,  ///< Of every client, before anything else.
};

/// What proofs of work clients owe. Prices are a solver's time.
class ProofSettings {
public:
    std::chrono::milliseconds price{0};
    std::chrono::milliseconds most{0};  ///< Under load; 0: the price stays.
    ProofStyle style = ProofStyle::kctf;
    ProofFor of = ProofFor::start;
    std::chrono::milliseconds timeout{std::chrono::minutes(5)};
    std::size_t max_proving = 0;  ///< Clients at once; 0: no limit.
    std::string bypass;           ///< A file with a public key; empty: nobody gets past.

    ProofSettings() = default;

    bool is_adaptive() const { return most > price; }
    bool is_asked() const { return price > price.zero() || is_adaptive(); }
};

}  // namespace instancer::daemon
