// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <instancer/bridge.hpp>
#include <instancer/bridge/hooks.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/detail/bridge/stream_bridge.hpp>
#include <instancer/events.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer {

/// Copies bytes between two streams of any kind and shows them to a hook on the way. Sessions without one take the way
/// of PairBridge.
///
/// Errors: a hook, or the making of one, that throws is reported as a warning, and its session is reset.
/// Lifetime: `events` must outlive the bridge.
class HookedBridge final : public Bridge {
public:
    /// Asks `make_hook` for the hook of each session.
    HookedBridge(HookFactory make_hook, Events& events) : make_hook_(std::move(make_hook)), events_(events) {}

private:
    asio::awaitable<BridgeEnd> do_run(Link& link) override;

    void warn(const Link& link, const std::exception_ptr& failure)
    {
        const auto& session = link.session();
        events_.session_warning(session.service, session.id, "its hook failed: " + exception_text(failure));
    }

    HookFactory make_hook_;
    Events& events_;
    PairBridge unhooked_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/bridge/hooked_bridge.hpp>
#endif
