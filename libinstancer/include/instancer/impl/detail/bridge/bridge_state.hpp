// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/bridge/bridge_state.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL BridgeState::Step BridgeState::on(Way way, Event event) noexcept
{
    if (end_)
        return {};
    switch (event) {
    case Event::ended: return on_ended(way);
    case Event::passed: return on_passed(way);
    case Event::lost: return on_lost(way);
    case Event::failed: return on_failed(way);
    case Event::refused: return on_refused(way);
    }
    return {};
}

INSTANCER_DECL BridgeState::Step BridgeState::on_ended(Way way) noexcept
{
    // Reading meets an end in order behind a reset that somebody else was told of.
    if (half(way) == Half::draining && lost_ == way)
        return on_failed(way);
    if (half(way) != Half::open)
        return {};
    set(way, Half::draining);
    Step step;
    step.pass_end = true;
    return step;
}

INSTANCER_DECL BridgeState::Step BridgeState::on_passed(Way way) noexcept
{
    if (half(way) != Half::draining || lost_)
        return {};
    set(way, Half::ended);
    if (half(other(way)) == Half::ended)
        finish(BridgeEnd::completed);
    return half(other(way)) == Half::reset ? lose(way, Half::reset) : Step();
}

INSTANCER_DECL BridgeState::Step BridgeState::on_failed(Way way) noexcept
{
    if (lost_ != way)
        return lost_ || half(way) != Half::open ? Step() : lose(way, Half::reset);
    set(way, Half::reset);
    return {};
}

INSTANCER_DECL BridgeState::Step BridgeState::on_lost(Way way) noexcept
{
    if (lost_ == way)
        return {};
    if (!lost_)
        return lose(way, half(way) == Half::open ? Half::draining : Half::reset);
    finish(end_of_lost());
    return {};
}

INSTANCER_DECL BridgeState::Step BridgeState::on_refused(Way way) noexcept
{
    if (lost_) {
        if (lost_ == way)
            finish(end_of_lost());
        return {};
    }
    auto step = Step();
    if (way == Way::down)
        step = on_lost(Way::up);
    else if (half(Way::down) == Half::ended)
        step = lose(Way::down, Half::reset);
    set(way, Half::reset);
    step.drop = true;
    return step;
}

INSTANCER_DECL BridgeState::Step BridgeState::lose(Way way, Half left) noexcept
{
    lost_ = way;
    set(way, left);
    set(other(way), Half::reset);
    Step step;
    step.drain = true;
    return step;
}

}  // namespace instancer::detail
