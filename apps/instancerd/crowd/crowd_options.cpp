// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <span>

#include "crowd/crowd.hpp"
#include "files/access.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using C = CrowdSettings;

Parsed<Rate> parse_rate(const std::string& text)
{
    if (text == "0")
        return Rate();
    const auto slash = text.find('/');
    const auto count = parse_count(text.substr(0, slash), 1, 1'000'000);
    const auto span = parse_duration(slash == text.npos ? "" : text.substr(slash + 1));
    if (!count || !span || span->count() == 0)
        return wrong(in_quotes(text) + " is no rate; write how many in which time, as in 10/1m");
    return Rate(static_cast<std::uint32_t>(*count), *span);
}

std::string print_rate(const Rate& rate)
{
    if (rate.unlimited())
        return "0";
    return std::to_string(rate.count()) + "/" +
           print_duration(std::chrono::duration_cast<std::chrono::microseconds>(rate.span()));
}

template <auto... members>
constexpr Type rate{Shape::text, "N/DURATION",
                    [](Target to, const std::string& text) { return set(field<members...>(to), parse_rate(text)); },
                    [](const View& from) { return print_rate(field<members...>(from)); }};

Parsed<void> add_exempt(Target to, const std::string& text)
{
    const auto network = parse_network(text);
    if (!network)
        return wrong(network.error());
    to.service->crowd.ban_exempt.push_back(*network);
    return {};
}

Parsed<void> set_ban_time(Target to, const std::string& text)
{
    const auto span = parse_duration(text);
    if (span && (span->count() == 0 || *span > std::chrono::hours(24)))
        return wrong(in_quotes(text) + " is no time to ban somebody; write 1s to 24h, as in 10m");
    return set(to.service->crowd.ban_for, span);
}

/// The text that the operator calls `name`; none when there is no such.
std::string* text_of(CrowdSettings& crowd, std::string_view name)
{
    const std::pair<std::string_view, std::string*> texts[] = {
        {"queued", &crowd.texts.queued},     {"full", &crowd.texts.full},
        {"enough", &crowd.texts.enough},     {"often", &crowd.texts.often},
        {"late", &crowd.texts.late},         {"rejected", &crowd.texts.rejected},
        {"silent", &crowd.texts.silent},     {"unavailable", &crowd.texts.unavailable},
        {"stopping", &crowd.texts.stopping}, {"warning", &crowd.warning},
        {"idle", &crowd.idle_warning}};
    const auto found = std::find_if(std::begin(texts), std::end(texts), [&](const auto& t) { return t.first == name; });
    return found == std::end(texts) ? nullptr : found->second;
}

/// The first word in braces in the text called `name` for which nothing is put in; empty where there is none. Other
/// braces are text.
std::string unknown_placeholder(std::string_view name, std::string_view text)
{
    constexpr std::string_view of_queue[] = {"{position}", "{waiting}"}, of_others[] = {"{wait}"};
    const auto known = name == "queued" ? std::span<const std::string_view>(of_queue) : of_others;
    for (auto begin = text.find('{'); begin != text.npos; begin = text.find('{', begin + 1)) {
        const auto end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz", begin + 1);
        if (end == text.npos || text[end] != '}' || end == begin + 1)
            continue;
        const auto word = text.substr(begin, end + 1 - begin);
        if (std::find(known.begin(), known.end(), word) == known.end())
            return std::string(word);
    }
    return {};
}

Parsed<void> set_text(Target to, const std::string& text)
{
    const auto assignment = parse_assignment(text);
    if (!assignment)
        return wrong(assignment.error());
    auto* const place = text_of(to.service->crowd, assignment->first);
    if (!place)
        return wrong(in_quotes(assignment->first) + " is no text; write queued, full, enough, often, late, rejected, "
                                                    "silent, unavailable, stopping, warning or idle");
    if (const auto unknown = unknown_placeholder(assignment->first, assignment->second); !unknown.empty())
        return wrong(in_quotes(unknown) + " stands for nothing in " + in_quotes(assignment->first) +
                     "; write {wait}, or in queued {position} and {waiting}");
    return set(*place, parse_escaped(assignment->second));
}

constexpr Needs with_bans = {{{{"ban-after", {}, "N/DURATION"}}}};

constexpr std::string_view limits = "Rates, bans and places", told = "What clients are told";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {limits, "connect-rate", rate<&S::crowd, &C::connect_rate>, Scope::service, {},
     "connections from one address (source-prefix, source-prefix4) or of one user of a Unix socket in a time, as in "
     "10/1m; all of them may come at once; 0: no limit. Further ones are denied, as denied says"},
    {limits, "start-rate", rate<&S::crowd, &C::start_rate>, Scope::instances, {},
     "instances that are started, or given from those that are warm, for one owner in a time, as in 5/1m; with auth open "
     "for one address (source-prefix, source-prefix4). All of them may come at once; 0: no limit. One client too many is "
     "refused; a client that finds its own instance running does not count"},
    {limits, "ban-after", rate<&S::crowd, &C::ban_after>, Scope::service, {},
     "ban an address (source-prefix, source-prefix4) whose clients fail more often than that at a proof that is asked "
     "of them, as in 5/1m; 0: nobody is banned. Leaving is no failure"},
    {limits, "ban-for", custom<Shape::duration, set_ban_time, show<&S::crowd, &C::ban_for>>.called("DURATION").within(1, std::numeric_limits<std::int64_t>::max()), Scope::service, {},
     "how long a ban takes, 24h at most; each further one of the same address twice as long, up to a day",
     {.needs = with_bans}},
    {limits, "ban-exempt", custom<Shape::list, add_exempt>.called("CIDR|ADDRESS"), Scope::service, {},
     "clients that are never banned",
     {.needs = {{{{"ban-after", {}, "N/DURATION"}, {"ban-file", {}, "FILE"}}}}}},
    {limits, "ban-file", file<&S::crowd, &C::ban_file>, Scope::service, {},
     "where bans are kept over restarts, one a line: deny NETWORK until TIME times N # reason, with a TIME as in "
     "2026-11-30T08:15:00Z and, from the second ban on, how often; lines may be added, changed and removed",
     {.reload = true}},
    {limits, "max-unadmitted-per-source", count<&Settings::max_unadmitted_per_source>, Scope::daemon, {},
     "of the connections that max-unadmitted counts, how many may be from one address (source-prefix, source-prefix4); "
     "0: no limit. One more resets the oldest of them"},
    {limits, "max-authenticating", count<&S::crowd, &C::max_authenticating>, Scope::instances, {},
     "clients that may identify themselves at once; 0: no limit. One more resets the oldest of the source (address, "
     "source-prefix, source-prefix4) that has most of them"},

    {told, "tell", flag<&S::crowd, &C::tell>, Scope::queued, {},
     "tell clients in a line why they are refused, and their place in the queue whenever it changes. Without it they "
     "get no byte"},
    {told, "tell-text", custom<Shape::map, set_text>.called("NAME=TEXT"), Scope::queued, {},
     "another text for queued, full, enough, often, late, rejected, silent, unavailable, stopping, warning or idle, with the "
     "escapes of C; empty: nothing is said. {position} and {waiting} stand for a place in the queue, {wait} for how long it takes",
     {.needs = {{{{"tell"}, {"warn-before", {}, "DURATION"}}}}}},
    {told, "warn-before", duration<&S::pool, &PoolOptions::warn_before>, Scope::instances, {},
     "write a line into each session this long before it ends by ttl, idle, session-timeout, session-idle, "
     "half-close-timeout or drain-timeout; limits that are no longer than this are not announced; 0: none",
     {.conflict = {{"io", "socket"}, "the program alone speaks to its client", {"io", "stdio"}}, .zero_is_off = true}},
};
// clang-format on

}  // namespace

std::span<const Option> crowd_options() { return table; }

}  // namespace instancer::daemon
