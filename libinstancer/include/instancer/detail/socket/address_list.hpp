// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>

namespace instancer::detail {

/// What a name stands for, and which of its addresses took no connection lately.
class AddressList {
public:
    using TimePoint = std::chrono::steady_clock::time_point;
    using Endpoint = asio::ip::tcp::endpoint;
    using Endpoints = std::vector<Endpoint>;

    /// How long an address that failed is tried after the others. A guess.
    static constexpr std::chrono::seconds rest{60};

    bool empty() const noexcept { return entries_.empty(); }

    /// Other addresses; what is known of those that stay is kept.
    void assign(const Endpoints& endpoints)
    {
        std::vector<Entry> entries;
        for (const auto& endpoint : endpoints) {
            if (find(entries, endpoint))
                continue;
            const auto* known = find(entries_, endpoint);
            entries.push_back(known ? *known : Entry(endpoint));
        }
        entries_ = std::move(entries);
    }

    /// In the order in which to try them: those that failed come last, and the families of the others take turns
    /// (RFC 8305, section 4).
    Endpoints in_order(TimePoint now) const
    {
        Endpoints first, second, failed;
        for (const auto& entry : entries_) {
            const bool is_first = first.empty() || entry.endpoint.protocol() == first.front().protocol();
            auto& list = entry.rests_until > now ? failed : is_first ? first : second;
            list.push_back(entry.endpoint);
        }
        for (std::size_t i = 0; i < second.size(); ++i)
            first.insert(first.begin() + static_cast<std::ptrdiff_t>(std::min(2 * i + 1, first.size())), second[i]);
        first.insert(first.end(), failed.begin(), failed.end());
        return first;
    }

    /// True when it had worked until now, and there are others.
    bool failed(const Endpoint& endpoint, TimePoint now) noexcept
    {
        auto* entry = find(entries_, endpoint);
        if (!entry || entries_.size() == 1)
            return false;
        const bool is_new = entry->rests_until == TimePoint();
        entry->rests_until = now + rest;
        return is_new;
    }

    /// True when it had failed until now.
    bool worked(const Endpoint& endpoint) noexcept
    {
        auto* entry = find(entries_, endpoint);
        return entry && std::exchange(entry->rests_until, TimePoint()) != TimePoint();
    }

private:
    struct Entry {
        explicit Entry(const Endpoint& at) : endpoint(at) {}

        Endpoint endpoint;
        TimePoint rests_until;  ///< Stays set until it works again.
    };

    template <class Entries>
    static auto find(Entries& entries, const Endpoint& endpoint) noexcept -> decltype(entries.data())
    {
        const auto found = std::find_if(entries.begin(), entries.end(),
                                        [&endpoint](const Entry& entry) { return entry.endpoint == endpoint; });
        return found == entries.end() ? nullptr : &*found;
    }

    std::vector<Entry> entries_;
};

}  // namespace instancer::detail
