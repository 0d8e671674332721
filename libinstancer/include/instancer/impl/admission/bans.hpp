// SPDX-License-Identifier: MIT
#pragma once

#include <set>

#include <instancer/admission/bans.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/text/utc_time.hpp>

namespace instancer {

INSTANCER_DECL Result<void> Bans::check(const ClientInfo& client) const
{
    const auto address = address_of(client);
    if (!address)
        return {};
    const std::lock_guard lock(mutex_);
    const auto ban = list_.find(*address, now());
    if (!ban)
        return {};
    return fail(Errc::denied, ban->network.to_string() + " is banned until " + to_utc(ban->until) + ": " + ban->reason);
}

INSTANCER_DECL void Bans::note_failure(const ClientInfo& client, const std::string& reason)
{
    const auto address = address_of(client);
    if (!address)
        return;
    std::optional<Ban> ban;
    {
        const std::lock_guard lock(mutex_);
        ban = list_.note_failure(*address, reason, BanList::Clock::now(), now());
    }
    if (ban && on_ban_)
        on_ban_(*ban);
}

INSTANCER_DECL void Bans::replace(const std::vector<Ban>& bans)
{
    const std::lock_guard lock(mutex_);
    std::set<Network> kept;
    for (const auto& ban : bans)
        kept.insert(ban.network);
    for (const auto& old : list_.remembered(now()))
        if (!kept.contains(old.network))
            list_.remove(old.network);
    for (const auto& ban : bans)
        list_.add(ban);
}

INSTANCER_DECL std::optional<asio::ip::address> Bans::address_of(const ClientInfo& client) const
{
    const auto peer = client.peer();
    if (!peer || (exempt_.size() != 0 && exempt_.check(client, now())))
        return std::nullopt;
    return peer->address();
}

}  // namespace instancer
