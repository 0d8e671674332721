// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include <instancer/tunnel/message.hpp>

namespace instancer::detail {

/// Addresses that sessions of a link must not be called by for a while, because stragglers of the last session of that
/// name may still come; and made-up ones for those who have none of their own.
class TunnelNames {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    /// The session of that name has just ended.
    void retire(TunnelAddress name, TimePoint now)
    {
        if (until_.insert_or_assign(name, now + rest).second)
            order_.push_back(name);
        while (!order_.empty() && (order_.size() > most || until_.at(order_.front()) <= now)) {
            until_.erase(order_.front());
            order_.pop_front();
        }
    }

    bool is_retired(TunnelAddress name, TimePoint now) const
    {
        const auto found = until_.find(name);
        return found != until_.end() && found->second > now;
    }

    /// The next address of 240.0.0.0/4, which nobody has; it may be in use on the link all the same.
    TunnelAddress make_up() noexcept
    {
        const TunnelAddress name(address_, port_);
        if (++port_ == 0) {
            port_ = 1;
            address_ = address_ == last_address ? first_address : address_ + 1;
        }
        return name;
    }

private:
    /// How long a name rests before another session gets it. A guess: longer than messages on their way take.
    static constexpr std::chrono::seconds rest{2};
    static constexpr std::size_t most = 65536;  ///< Names that rest; the oldest ones give way.
    static constexpr std::uint32_t first_address = 0xf0000001, last_address = 0xfffffffe;

    std::unordered_map<TunnelAddress, TimePoint, TunnelAddress::Hash> until_;
    std::deque<TunnelAddress> order_;
    std::uint32_t address_ = first_address;
    std::uint16_t port_ = 1;
};

}  // namespace instancer::detail
