// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <instancer/acceptor/network.hpp>
#include <instancer/client.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Which clients are let in, by address and time.
///
/// Of the rules that hold for a client and are in force, those of the smallest network decide; if they disagree, the
/// client is denied. A client that no rule holds for is denied if there is any rule that allows, in force or not.
class AccessRules {
public:
    /// A moment on the system's clock.
    using Time = std::chrono::system_clock::time_point;

    /// Whether a rule is in force at that time.
    using InForce = std::function<bool(Time)>;

    /// Adds a rule for the clients of a network; without one for every client, those of Unix sockets included.
    /// Without `in_force` it always is.
    void add(bool allow, std::optional<Network> network, InForce in_force = {});

    /// How many rules there are.
    std::size_t size() const noexcept { return size_; }

    /// Time: grows with how many different sizes of network there are, not with the number of rules.
    /// Errors: Errc::denied, with the rule.
    Result<void> check(const ClientInfo& client, Time now) const;

private:
    struct Rule {
        bool allow;
        InForce in_force;
    };
    using Rules = std::vector<Rule>;

    /// The networks of one size.
    struct Table {
        unsigned bits;
        std::unordered_map<Network, Rules, Network::Hash> networks;
    };

    std::unordered_map<Network, Rules, Network::Hash>& table_of(const Network& network);

    /// The decision of the rules that are in force; none when none is.
    static std::optional<bool> decide(const Rules& rules, const Rules& also, Time now);

    static Result<void> denied(const std::string& by) { return fail(Errc::denied, by + " denies it"); }

    static inline const Rules none_;

    std::array<std::vector<Table>, 2> tables_;  ///< Of IPv6 and of IPv4, small networks last.
    Rules for_all_;
    std::size_t size_ = 0;
    bool may_allow_ = false;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/acceptor/access_rules.hpp>
#endif
