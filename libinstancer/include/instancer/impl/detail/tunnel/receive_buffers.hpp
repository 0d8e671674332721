// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/receive_buffers.hpp>

namespace instancer::detail {

INSTANCER_DECL void ReceiveBuffers::remove(const TunnelSessionPtr& session)
{
    drop(*session);
    sessions_.erase(session);
}

INSTANCER_DECL ReceiveBuffers::Verdict ReceiveBuffers::append(TunnelSession& session, std::span<const std::byte> data)
{
    session.input_.append(data);
    total_ += data.size();
    const bool is_full = session.input_.size() > session_limit_, is_too_much = total_ > total_limit_;
    if (session.negotiated())
        return is_full ? Verdict::breaks_window : is_too_much ? Verdict::exceeds_total : Verdict::fits;
    if (session.holds_up_link_ || !(is_full || is_too_much))
        return Verdict::fits;
    session.holds_up_link_ = true;
    ++holding_up_;
    return Verdict::holds_up_link;
}

INSTANCER_DECL std::size_t ReceiveBuffers::read(TunnelSession& session, std::span<std::byte> buffer)
{
    const auto count = session.input_.read(buffer);
    total_ -= count;
    session.consumed_ += count;
    return count;
}

INSTANCER_DECL void ReceiveBuffers::drop(TunnelSession& session)
{
    total_ -= session.input_.size();
    session.input_.clear();
}

INSTANCER_DECL std::uint32_t ReceiveBuffers::take_credit(TunnelSession& session) const noexcept
{
    if (!session.negotiated() || session.consumed_ < session_limit_ / 2 || session.input_ended_)
        return 0;
    return static_cast<std::uint32_t>(std::exchange(session.consumed_, 0));
}

INSTANCER_DECL bool ReceiveBuffers::release(TunnelSession& session) noexcept
{
    if (!std::exchange(session.holds_up_link_, false))
        return false;
    --holding_up_;
    return true;
}

INSTANCER_DECL TunnelSessionPtr ReceiveBuffers::fullest() const
{
    return *std::max_element(sessions_.begin(), sessions_.end(),
                             [](const auto& a, const auto& b) { return a->input_.size() < b->input_.size(); });
}

}  // namespace instancer::detail
