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
#include <instancer/detail/text/exception_text.hpp>
#include <instancer/events.hpp>

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

    bool takes_early_data() const noexcept override { return true; }

private:
    asio::awaitable<BridgeEnd> do_run(Link& link) override
    {
        std::unique_ptr<SessionHook> hook;
        try {
            hook = make_hook_(link.session());
        } catch (...) {
            warn(link, std::current_exception());
            link.client().abort();
            link.instance().abort();
            co_return BridgeEnd::hook_failed;
        }
        if (!hook && link.early_data().empty())
            co_return co_await unhooked_.run(link);
        detail::StreamBridge streams(link, hook.get());
        auto end = BridgeEnd::cancelled;
        std::exception_ptr failure;
        try {
            end = co_await streams.run();
        } catch (...) {
            failure = std::current_exception();
        }
        if (end == BridgeEnd::hook_failed)
            warn(link, streams.failure());
        try {
            if (hook)
                hook->session_ended(end);
        } catch (...) {
            warn(link, std::current_exception());
        }
        if (failure)
            std::rethrow_exception(failure);
        co_return end;
    }

    void warn(const Link& link, const std::exception_ptr& failure)
    {
        const auto& session = link.session();
        events_.warning(session.service, "session " + std::to_string(session.id) +
                                             ": its hook failed: " + detail::exception_text(failure));
    }

    HookFactory make_hook_;
    Events& events_;
    PairBridge unhooked_;
};

}  // namespace instancer
