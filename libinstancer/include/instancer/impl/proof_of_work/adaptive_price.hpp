// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include <instancer/detail/config.hpp>
#include <instancer/proof_of_work/adaptive_price.hpp>

namespace instancer {

namespace detail {

/// How many of `steps` an amount is worth that matters above `from`, a part of `most`, and is all that there is at
/// `most`.
inline std::size_t steps_above(double from, std::size_t amount, std::size_t most, std::size_t steps)
{
    if (most == 0)
        return 0;
    const double part = (static_cast<double>(amount) / static_cast<double>(most) - from) / (1 - from);
    return static_cast<std::size_t>(
        std::clamp(std::ceil(part * static_cast<double>(steps)), 0.0, static_cast<double>(steps)));
}

inline std::string amount_of(std::size_t amount, std::size_t most, const char* what)
{
    return std::to_string(amount) + " of " + std::to_string(most) + " " + what;
}

}  // namespace detail

INSTANCER_DECL AdaptivePrice::AdaptivePrice(Seconds least, Seconds most)
{
    // From nothing the first step is small.
    constexpr double first_of_most = 1.0 / 32;
    steps_.push_back(least);
    if (least == Seconds::zero())
        steps_.push_back(most * first_of_most);
    while (steps_.back() < most)
        steps_.push_back(std::min(most, steps_.back() * 2));
}

INSTANCER_DECL std::optional<PriceChange> AdaptivePrice::update(const ServiceLoad& load, Time now)
{
    using detail::amount_of;
    using detail::steps_above;
    using Reason = std::pair<std::size_t, std::string>;
    const auto most = steps();
    const Reason reasons[] = {
        {std::min(static_cast<std::size_t>(std::bit_width(load.delayed_starts)), most),
         std::to_string(load.delayed_starts) + (load.delayed_starts == 1 ? " start waits" : " starts wait")},
        {steps_above(0.75, load.in_use, load.max_instances, most),
         amount_of(load.in_use, load.max_instances, "instances are in use")},
        {steps_above(0.5, load.unadmitted, load.max_unadmitted, most),
         amount_of(load.unadmitted, load.max_unadmitted, "connections are not admitted yet")},
    };
    const auto& [wanted, why] = *std::max_element(std::begin(reasons), std::end(reasons),
                                                  [](const auto& a, const auto& b) { return a.first < b.first; });
    if (wanted >= step_ || now - justified_ >= patience) {
        justified_ = now;
        const auto before = step_;
        step_ = std::max(wanted, std::max<std::size_t>(step_, 1) - 1);
        if (step_ > before)
            return PriceChange(price(), why);
        if (step_ < before)
            return PriceChange(price(), "less is short");
    }
    return std::nullopt;
}

}  // namespace instancer
