// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/acceptor/access_rules.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL void AccessRules::add(bool allow, std::optional<Network> network, InForce in_force)
{
    may_allow_ = may_allow_ || allow;
    ++size_;
    auto& rules = network ? table_of(*network)[*network] : for_all_;
    rules.push_back(Rule{allow, std::move(in_force)});
}

INSTANCER_DECL Result<void> AccessRules::check(const ClientInfo& client, Time now) const
{
    if (client.peer()) {
        const Network exact(client.peer()->address());
        const auto& tables = tables_[exact.is_v4() ? 1 : 0];
        for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
            const auto found = table->networks.find(exact.widened(table->bits));
            if (found == table->networks.end())
                continue;
            // Every client is in a network of all addresses.
            const auto& also = table->bits == 0 ? for_all_ : none_;
            if (const auto allowed = decide(found->second, also, now))
                return *allowed ? Result<void>() : denied("the rule for " + found->first.to_string());
        }
    }
    if (const auto allowed = decide(for_all_, none_, now))
        return *allowed ? Result<void>() : denied("the rule for all");
    if (!may_allow_)
        return {};
    return fail(Errc::denied, "no rule allows it");
}

INSTANCER_DECL std::unordered_map<Network, AccessRules::Rules, Network::Hash>&
AccessRules::table_of(const Network& network)
{
    auto& tables = tables_[network.is_v4() ? 1 : 0];
    auto place = tables.begin();
    while (place != tables.end() && place->bits < network.bits())
        ++place;
    if (place == tables.end() || place->bits != network.bits())
        place = tables.insert(place, Table{network.bits(), {}});
    return place->networks;
}

INSTANCER_DECL std::optional<bool> AccessRules::decide(const Rules& rules, const Rules& also, Time now)
{
    std::optional<bool> allowed;
    for (const auto* list : {&rules, &also})
        for (const auto& rule : *list) {
            if (rule.allow == allowed || (rule.in_force && !rule.in_force(now)))
                continue;
            allowed = rule.allow;
            if (!rule.allow)
                return allowed;
        }
    return allowed;
}

}  // namespace instancer
