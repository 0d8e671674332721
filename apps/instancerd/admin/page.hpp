// SPDX-License-Identifier: MIT
// Long lists, a page at a time.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/admin_json.hpp"
#include "http/http_message.hpp"

namespace instancer::daemon {

/// The place of an entry in a list: sorted by service, and then by number or name. The next page begins after it, also
/// when that entry has gone meanwhile.
class PagePlace {
public:
    explicit PagePlace(std::string of_service, std::uint64_t with_number = 0, std::string with_name = {})
        : service(std::move(of_service)), number(with_number), name(std::move(with_name))
    {
    }

    /// `SERVICE/NUMBER`, `SERVICE/NAME` or `SERVICE`.
    static PagePlace parse(std::string_view text);
    std::string text() const;

    friend auto operator<=>(const PagePlace&, const PagePlace&) = default;

    std::string service;
    std::uint64_t number;
    std::string name;
};

inline PagePlace place_of(const ServiceStatus& service) { return PagePlace(service.name); }
inline PagePlace place_of(const InstanceStatus& instance) { return PagePlace(instance.service, instance.id); }
inline PagePlace place_of(const SessionStatus& session) { return PagePlace(session.service, session.id); }
inline PagePlace place_of(const ServiceUpstream& upstream) { return PagePlace(upstream.service, 0, upstream.name); }
inline PagePlace place_of(const ServiceBan& ban) { return PagePlace(ban.service, 0, ban.network.to_string()); }

/// Which part of a list is asked for.
class PageRequest {
public:
    static constexpr std::size_t most = 1000;

    /// The error says what of the query is wrong.
    static Parsed<PageRequest> parse(const HttpRequest& request);

    /// Fewer than asked for only at the end of the list. `next` is where the next page begins, or null.
    template <class Item>
    Json page_of(std::vector<Item> items, std::string_view list, const JsonView& view) const
    {
        const auto earlier = [](const Item& a, const Item& b) { return place_of(a) < place_of(b); };
        std::sort(items.begin(), items.end(), earlier);
        auto first = items.begin();
        if (after)
            first =
                std::partition_point(first, items.end(), [&](const Item& item) { return place_of(item) <= *after; });
        const auto count = std::min<std::size_t>(limit, static_cast<std::size_t>(items.end() - first));
        const auto last = first + static_cast<std::ptrdiff_t>(count);
        auto page = Json::array();
        std::for_each(first, last, [&](const Item& item) { page.push_back(view.show(item)); });
        const bool is_last = last == items.end();
        return {{list, std::move(page)},
                {"total", items.size()},
                {"next", is_last ? Json() : Json(place_of(*std::prev(last)).text())}};
    }

    std::size_t limit = 100;
    std::optional<PagePlace> after;

private:
    PageRequest() = default;
};

/// A number from `least` to `most` of the query; `otherwise` when it has none of that name.
Parsed<std::uint64_t> number_in(const HttpRequest& request, std::string_view name, std::uint64_t least,
                                std::uint64_t most, std::uint64_t otherwise);

}  // namespace instancer::daemon
