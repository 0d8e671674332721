// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <utility>

#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// What has come for the sessions of a link and waits for their receivers, within two limits: of each session, and of
/// all together.
///
/// A session with a window is never sent more than its limit. Without windows, a session that has too much holds up the
/// link until half of it is taken.
class ReceiveBuffers {
public:
    /// What follows from data that has come.
    enum class Verdict {
        fits,
        breaks_window,  ///< The other end sends more than the session's window allows.
        exceeds_total,  ///< Some session has to end.
        holds_up_link,  ///< The session has begun to do so.
    };

    ReceiveBuffers(std::size_t session_limit, std::size_t total_limit)
        : session_limit_(session_limit), total_limit_(std::max(total_limit, session_limit))
    {
    }

    void add(const TunnelSessionPtr& session) { sessions_.insert(session); }

    /// Nobody reads the session any more.
    void remove(const TunnelSessionPtr& session);

    /// Sessions that somebody reads, also those that are over.
    std::size_t sessions() const noexcept { return sessions_.size(); }

    Verdict append(TunnelSession& session, std::span<const std::byte> data);

    std::size_t read(TunnelSession& session, std::span<std::byte> buffer);

    void drop(TunnelSession& session);

    /// The credit that the other end is to be given, of what was read: small amounts are gathered, and an end that is
    /// known needs no room any more. 0: none yet.
    std::uint32_t take_credit(TunnelSession& session) const noexcept;

    /// Whether the link is not to be read.
    bool holds_up_link() const noexcept { return holding_up_ != 0; }

    /// Whether a session that holds up the link has room again.
    bool has_room(const TunnelSession& session) const noexcept { return session.input_.size() <= session_limit_ / 2; }

    /// The session holds up the link no more. False when it did not.
    bool release(TunnelSession& session) noexcept;

    /// The session of which most is kept. There is one.
    TunnelSessionPtr fullest() const;

private:
    std::size_t session_limit_, total_limit_;
    std::size_t total_ = 0;
    std::size_t holding_up_ = 0;  ///< Sessions that do.
    std::unordered_set<TunnelSessionPtr> sessions_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/tunnel/receive_buffers.hpp>
#endif
