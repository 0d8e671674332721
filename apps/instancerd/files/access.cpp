// SPDX-License-Identifier: MIT
#include "files/access.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <exception>
#include <utility>

#include <date/tz.h>

#include "daemon/system.hpp"
#include "files/lines.hpp"

namespace instancer::daemon {

namespace {

constexpr std::array<std::string_view, 7> day_names = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

std::optional<unsigned> find_day(std::string_view text)
{
    const auto found = std::find(day_names.begin(), day_names.end(), text);
    if (found == day_names.end())
        return std::nullopt;
    return static_cast<unsigned>(found - day_names.begin());
}

/// `HH:MM`, in minutes since midnight.
std::optional<unsigned> find_minute(std::string_view text)
{
    if (text.size() != 5 || text[2] != ':')
        return std::nullopt;
    const auto hour = parse_count(text.substr(0, 2), 0, 24), minute = parse_count(text.substr(3), 0, 59);
    if (!hour || !minute || *hour * 60 + *minute > Schedule::day_minutes)
        return std::nullopt;
    return static_cast<unsigned>(*hour * 60 + *minute);
}

bool looks_like_days(std::string_view word)
{
    return find_day(word.substr(0, 3)) && word.find_first_of(":.") == word.npos;
}

bool looks_like_hours(std::string_view word) { return word.find(':') != word.npos && word.find('-') != word.npos; }

}  // namespace

Parsed<WallClock> find_clock(const std::string& zone)
{
    if (zone.empty())
        return WallClock([](std::chrono::system_clock::time_point time) {
            const auto seconds = std::chrono::system_clock::to_time_t(time);
            std::tm local{};
            ::localtime_r(&seconds, &local);
            const int minute = local.tm_hour * 60 + local.tm_min;
            return WallTime(static_cast<unsigned>(local.tm_wday), static_cast<unsigned>(minute));
        });
    try {
        const date::time_zone* found = date::locate_zone(zone);
        // Its rules are read from their file when they are used first, which may fail.
        static_cast<void>(found->get_info(date::sys_seconds()));
        return WallClock([found](std::chrono::system_clock::time_point time) {
            const auto local = date::floor<std::chrono::minutes>(found->to_local(time));
            const auto day = date::floor<date::days>(local);
            const std::chrono::minutes since_midnight = local - day;
            return WallTime(date::weekday(day).c_encoding(), static_cast<unsigned>(since_midnight.count()));
        });
    } catch (const std::exception&) {
        return wrong(in_quotes(zone) + " is no time zone that this system knows; write one of /usr/share/zoneinfo, as "
                                       "in Europe/Berlin");
    }
}

bool Schedule::holds(WallTime time) const noexcept
{
    const auto minute = time.minute();
    if (from_ < to_)
        return has(time.day()) && minute >= from_ && minute < to_;
    const auto day_before = (time.day() + 6) % 7;
    return (has(time.day()) && minute >= from_) || (has(day_before) && minute < to_);
}

Parsed<void> Schedule::set_days(std::string_view text)
{
    days_ = 0;
    for (const auto& part : split(text, ',')) {
        const auto dash = part.find('-');
        const auto first = find_day(part.substr(0, dash));
        const auto last = dash == part.npos ? first : find_day(part.substr(dash + 1));
        if (!first || !last)
            return wrong(in_quotes(text) + " are no days; write mon-fri, or sat,sun, of mon tue wed thu fri sat sun");
        for (auto day = *first;; day = (day + 1) % 7) {
            days_ |= 1u << day;
            if (day == *last)
                break;
        }
    }
    return {};
}

Parsed<void> Schedule::set_hours(std::string_view text)
{
    const auto dash = text.find('-');
    const auto from = find_minute(text.substr(0, dash));
    const auto to = dash == text.npos ? from : find_minute(text.substr(dash + 1));
    if (!from || !to || *from == day_minutes)
        return wrong(in_quotes(text) + " are no hours; write 08:00-18:00, or 22:00-06:00 past midnight");
    if (*from == *to)
        return wrong(in_quotes(text) + " are no time at all; leave hours out for the whole day");
    from_ = *from;
    to_ = *to;
    return {};
}

Parsed<std::optional<Network>> parse_network(std::string_view text)
{
    if (text == "all")
        return std::optional<Network>();
    const auto slash = text.find('/');
    const std::string host(text.substr(0, slash));
    asio::error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error || host.find('%') != host.npos)
        return wrong(in_quotes(text) + " is no network; write 10.0.0.0/8, 2001:db8::/32, an address, or all");
    if (slash == text.npos)
        return std::optional(Network(address));
    const unsigned width = address.is_v4() ? 32 : 128;
    const auto bits = parse_count(text.substr(slash + 1), 0, width);
    if (!bits)
        return wrong(in_quotes(text) + " has no such prefix; write a number from 0 to " + std::to_string(width) +
                     " after the /");
    const Network network(address, static_cast<unsigned>(*bits));
    if (network.address() != Network(address).address())
        return wrong(in_quotes(text) + " has bits beyond its prefix; write " + network.to_string() +
                     " for the network, or " + host + " for the address alone");
    return std::optional(network);
}

Parsed<AccessRule> parse_rule(bool allow, std::string_view text)
{
    AccessRule rule;
    rule.allow = allow;
    const auto words = words_of(text);
    if (words.empty())
        return wrong("is empty; write who and when, as in 10.0.0.0/8, all, or 2001:db8::/32 mon-fri 08:00-18:00");
    bool has_network = false, has_days = false, has_hours = false;
    for (const auto& word : words) {
        bool* seen = &has_network;
        Parsed<void> read;
        if (looks_like_days(word)) {
            seen = &has_days;
            read = rule.schedule.set_days(word);
        } else if (looks_like_hours(word)) {
            seen = &has_hours;
            read = rule.schedule.set_hours(word);
        } else if (const auto network = parse_network(word)) {
            rule.network = *network;
        } else if (word.find_first_not_of("0123456789abcdefABCDEF.:/") == word.npos) {
            return wrong(network.error());
        } else {
            return wrong(in_quotes(word) + " is neither a network, nor days, nor hours; write 10.0.0.0/8, "
                                           "2001:db8::/32, an address or all, then mon-fri, then 08:00-18:00");
        }
        if (!read)
            return wrong(read.error());
        if (std::exchange(*seen, true))
            return wrong(in_quotes(word) + " is one too many; write each in a rule of its own, or days as in sat,sun");
    }
    return rule;
}

Parsed<std::vector<AccessRule>> parse_access(std::string_view text, const std::string& file)
{
    return parse_lines<AccessRule>(
        text, file, Comments::anywhere, [](std::string_view line, const auto&) -> Parsed<AccessRule> {
            const auto verb = words_of(line).front();
            if (verb != "allow" && verb != "deny")
                return wrong(in_quotes(verb) + " is neither allow nor deny; write one of them, and then the rule");
            return parse_rule(verb == "allow", line.substr(verb.size()));
        });
}

Parsed<std::vector<AccessRule>> load_access(const std::string& file)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_access(*text, file);
}

AccessRules make_rules(const std::vector<AccessRule>& rules, const WallClock& clock)
{
    AccessRules made;
    for (const auto& rule : rules) {
        AccessRules::InForce in_force;
        if (!rule.schedule.holds_always())
            in_force = [clock, schedule = rule.schedule](AccessRules::Time now) { return schedule.holds(clock(now)); };
        made.add(rule.allow, rule.network, std::move(in_force));
    }
    return made;
}

Parsed<AccessRules> load_rules(std::vector<AccessRule> rules, const std::string& file, const std::string& zone)
{
    const auto clock = find_clock(zone);
    if (!clock)
        return wrong(clock.error());
    if (!file.empty()) {
        const auto more = load_access(file);
        if (!more)
            return wrong(more.error());
        rules.insert(rules.end(), more->begin(), more->end());
    }
    return make_rules(rules, *clock);
}

}  // namespace instancer::daemon
