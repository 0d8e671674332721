// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "admin/admin_json.hpp"
#include "http/http_message.hpp"
#include "status/event_ring.hpp"

namespace instancer::daemon {

/// Events as they come, as server-sent events. `lost` says how many were forgotten before this client took them.
class EventFeed final : public HttpFeed {
public:
    /// From the event after `last` on.
    EventFeed(EventRing& events, const JsonView& view, std::uint64_t last) : events_(events), view_(view), last_(last)
    {
    }
    EventFeed(const EventFeed&) = delete;
    EventFeed& operator=(const EventFeed&) = delete;
    ~EventFeed() override
    {
        if (subscription_)
            events_.unsubscribe(*subscription_);
    }

    void on_more(std::function<void()> wake) override { subscription_ = events_.subscribe(std::move(wake)); }

    std::string take() override
    {
        std::string text;
        for (const auto& event : events_.after(last_, most_at_once)) {
            if (event.id != last_ + 1)
                text += "event: lost\ndata: {\"count\":" + std::to_string(event.id - last_ - 1) + "}\n\n";
            text += "id: " + std::to_string(event.id) + "\nevent: " + std::string(event.kind) +
                    "\ndata: " + text_of(view_.show(event)) + "\n\n";
            last_ = event.id;
        }
        return text;
    }

    std::string heartbeat() const override { return ":\n\n"; }

private:
    static constexpr std::size_t most_at_once = 100;

    EventRing& events_;
    const JsonView view_;
    std::uint64_t last_;
    std::optional<std::uint64_t> subscription_;
};

}  // namespace instancer::daemon
