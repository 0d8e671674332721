// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer {

/// The reports of a TunnelMultiplexer. No function may call back into it.
class TunnelObserver {
public:
    /// At the agent: the server has opened a session; its target is to be connected to.
    virtual void session_opened(const TunnelSessionPtr& session) { (void)session; }
    /// At the agent: the server wanted one session more than `TunnelOptions::max_sessions`.
    virtual void session_refused() {}
    /// At the agent: another agent serves in its place; `by` names it, and is of foreign origin.
    virtual void displaced(std::string_view by) { (void)by; }
    /// The other end, or a limit of ours, ended the session; `reason` is for the operator, and of foreign origin.
    virtual void session_disconnected(const TunnelSession& session, std::string_view reason)
    {
        (void)session, (void)reason;
    }
    /// The other end is of our own kind: sessions from now on have windows and half-close.
    virtual void negotiated() {}
    /// At the agent: the server has answered a sign of life.
    virtual void round_trip(std::chrono::nanoseconds time) { (void)time; }
    /// A CTL message came; what is returned answers it, at the agent.
    virtual std::string control(std::string_view text)
    {
        (void)text;
        return {};
    }

protected:
    ~TunnelObserver() = default;
};

}  // namespace instancer
