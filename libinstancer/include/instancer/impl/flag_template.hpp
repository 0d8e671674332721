// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>

#include <instancer/detail/config.hpp>
#include <instancer/flag_template.hpp>

namespace instancer {

INSTANCER_DECL Result<FlagTemplate> FlagTemplate::parse(std::string_view text)
{
    FlagTemplate result;
    while (!text.empty()) {
        const auto end = text.find('}');
        const auto open = text.rfind('{', end);
        if (end == text.npos || open == text.npos) {
            const auto size = end == text.npos ? text.size() : end + 1;
            result.add_text(text.substr(0, size));
            text.remove_prefix(size);
            continue;
        }
        result.add_text(text.substr(0, open));
        const auto place = text.substr(open, end + 1 - open);
        if (auto added = result.add_place(place); !added)
            return fail(std::move(added.error()));
        text.remove_prefix(end + 1);
    }
    return result;
}

INSTANCER_DECL std::string FlagTemplate::flag(std::string_view key, std::string_view service, const Identity& identity,
                                              FlagScope scope) const
{
    auto message = std::string(service) + "\n" + identity.owner().hex();
    if (scope == FlagScope::instance)
        message += "\n" + identity.id().hex();
    std::string flag;
    for (const auto& part : parts_)
        switch (part.kind) {
        case Kind::text: flag += part.text; break;
        case Kind::hmac: flag += hmac_sha256(key, message).substr(0, part.digits); break;
        case Kind::random: flag += to_hex(detail::random_bytes(part.digits)).substr(0, part.digits); break;
        case Kind::owner: flag += identity.owner().hex(); break;
        }
    return flag;
}

INSTANCER_DECL void FlagTemplate::add_text(std::string_view text)
{
    if (text.empty())
        return;
    if (parts_.empty() || parts_.back().kind != Kind::text)
        parts_.push_back({Kind::text, {}, 0});
    parts_.back().text += text;
}

INSTANCER_DECL Result<void> FlagTemplate::add_place(std::string_view place)
{
    const auto word = place.substr(1, place.size() - 2);
    const auto colon = word.find(':');
    const auto name = word.substr(0, colon);
    const bool sized = colon != word.npos;
    if (word == "owner" || word == "hmac") {
        parts_.push_back({word == "owner" ? Kind::owner : Kind::hmac, {}, hmac_digits});
    } else if (name == "hmac" || name == "random") {
        const auto most = name == "hmac" ? hmac_digits : most_random;
        const auto digits = sized ? number(word.substr(colon + 1)) : 0;
        if (digits == 0 || digits > most)
            return fail(Errc::bad_request, std::string(place) + ": give it a number of digits from 1 to " +
                                               std::to_string(most) + ", as in {" + std::string(name) + ":32}");
        parts_.push_back({name == "hmac" ? Kind::hmac : Kind::random, {}, digits});
    } else {
        add_text(place);
    }
    return {};
}

INSTANCER_DECL std::size_t FlagTemplate::number(std::string_view digits)
{
    std::size_t value = 0;
    const auto end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value);
    return error == std::errc() && rest == end ? value : 0;
}

}  // namespace instancer
