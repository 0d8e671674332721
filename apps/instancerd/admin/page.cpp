// SPDX-License-Identifier: MIT
#include "admin/page.hpp"

#include "http/http_fields.hpp"

namespace instancer::daemon {

PagePlace PagePlace::parse(std::string_view text)
{
    const auto slash = std::min(text.find('/'), text.size());
    PagePlace place{std::string(text.substr(0, slash))};
    const auto rest = text.substr(std::min(slash + 1, text.size()));
    if (const auto number = number_of(rest, 10))
        place.number = *number;
    else
        place.name = rest;
    return place;
}

std::string PagePlace::text() const
{
    if (!name.empty())
        return service + "/" + name;
    return number == 0 ? service : service + "/" + std::to_string(number);
}

Parsed<std::uint64_t> number_in(const HttpRequest& request, std::string_view name, std::uint64_t least,
                                std::uint64_t most, std::uint64_t otherwise)
{
    const auto text = request.parameter(name);
    if (!text)
        return otherwise;
    auto number = parse_count(*text, least, most);
    return number ? number : wrong(std::string(name) + ": " + number.error());
}

Parsed<PageRequest> PageRequest::parse(const HttpRequest& request)
{
    PageRequest page;
    const auto limit = number_in(request, "limit", 1, most, page.limit);
    if (!limit)
        return wrong(limit.error());
    page.limit = *limit;
    if (const auto after = request.parameter("after"))
        page.after = PagePlace::parse(*after);
    return page;
}

}  // namespace instancer::daemon
