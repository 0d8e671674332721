// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/tunnel_session_table.hpp>

namespace instancer::detail {

INSTANCER_DECL TunnelSessionPtr TunnelSessionTable::find(TunnelAddress user) const
{
    const auto found = sessions_.find(user);
    return found == sessions_.end() ? nullptr : found->second;
}

INSTANCER_DECL bool TunnelSessionTable::contains(const TunnelSession& session) const
{
    const auto found = sessions_.find(session.user());
    return found != sessions_.end() && found->second.get() == &session;
}

INSTANCER_DECL TunnelAddress TunnelSessionTable::choose_name(std::optional<TunnelAddress> wanted, TimePoint now)
{
    if (wanted && is_free(*wanted, now))
        return *wanted;
    auto name = names_.make_up();
    while (!is_free(name, now))
        name = names_.make_up();
    return name;
}

INSTANCER_DECL std::vector<TunnelSessionPtr> TunnelSessionTable::take_all()
{
    std::vector<TunnelSessionPtr> all;
    for (auto& [user, session] : std::exchange(sessions_, {}))
        all.push_back(std::move(session));
    return all;
}

INSTANCER_DECL std::vector<TunnelSessionPtr> TunnelSessionTable::active() const
{
    std::vector<TunnelSessionPtr> all;
    for (const auto& [user, session] : sessions_)
        if (!session->ending_)
            all.push_back(session);
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->user() < b->user(); });
    return all;
}

INSTANCER_DECL TunnelSessionPtr TunnelSessionTable::find_active(std::string_view text) const
{
    const auto found = std::find_if(sessions_.begin(), sessions_.end(), [text](const auto& entry) {
        const auto& [user, session] = entry;
        return !session->ending_ && (user.to_string() == text || session->name() == text);
    });
    return found == sessions_.end() ? nullptr : found->second;
}

}  // namespace instancer::detail
