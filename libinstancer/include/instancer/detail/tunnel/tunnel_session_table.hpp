// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <instancer/detail/tunnel/tunnel_names.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// The sessions of a link by what they are called on it, each until its name may mean another session.
class TunnelSessionTable {
public:
    using TimePoint = TunnelNames::TimePoint;

    void add(const TunnelSessionPtr& session) { sessions_.emplace(session->user(), session); }

    TunnelSessionPtr find(TunnelAddress user) const;

    bool contains(const TunnelSession& session) const;

    std::size_t size() const noexcept { return sessions_.size(); }

    /// What a new session is called: as wanted, unless that name is in use.
    TunnelAddress choose_name(std::optional<TunnelAddress> wanted, TimePoint now);

    bool is_retired(TunnelAddress user, TimePoint now) const { return names_.is_retired(user, now); }

    // The end of a session.

    /// The other end has been told that the session is over. One of our kind answers, and only then is the name free.
    void expect_answer(TunnelSession& session) noexcept { session.ending_ = true; }

    /// The name is free at once.
    void erase(const TunnelSession& session)
    {
        if (contains(session))
            sessions_.erase(session.user());
    }

    /// The name rests, because stragglers may come for a while.
    void retire(const TunnelSession& session, TimePoint now)
    {
        erase(session);
        retire(session.user(), now);
    }

    /// The same for a name that no session got.
    void retire(TunnelAddress user, TimePoint now) { names_.retire(user, now); }

    std::vector<TunnelSessionPtr> take_all();

    // The sessions that are going on.

    std::vector<TunnelSessionPtr> active() const;

    /// The one of which `text` is the address on the link, or its user's name.
    TunnelSessionPtr find_active(std::string_view text) const;

private:
    bool is_free(TunnelAddress name, TimePoint now) const
    {
        return !sessions_.contains(name) && !names_.is_retired(name, now);
    }

    std::unordered_map<TunnelAddress, TunnelSessionPtr, TunnelAddress::Hash> sessions_;
    TunnelNames names_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/tunnel/tunnel_session_table.hpp>
#endif
