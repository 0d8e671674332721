// SPDX-License-Identifier: MIT
// Rules that say who may connect and when, from text.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/acceptor/access_rules.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// What a clock on the wall shows.
class WallTime {
public:
    /// `day` counts from Sunday, 0.
    WallTime(unsigned day, unsigned minute) : day_(day), minute_(minute) {}

    unsigned day() const noexcept { return day_; }

    /// Since midnight.
    unsigned minute() const noexcept { return minute_; }

private:
    unsigned day_;
    unsigned minute_;
};

/// The clock on the wall of some place.
using WallClock = std::function<WallTime(std::chrono::system_clock::time_point)>;

/// That of an IANA time zone, or with an empty name of this system.
Parsed<WallClock> find_clock(const std::string& zone);

/// Days of the week, and a part of the day. Hours that run past midnight belong to the day on which they begin.
class Schedule {
public:
    static constexpr unsigned day_minutes = 24 * 60;

    bool holds_always() const noexcept { return days_ == every_day && from_ == 0 && to_ == day_minutes; }
    bool holds(WallTime time) const noexcept;

    /// Days as in `mon-fri` or `sat,sun`.
    Parsed<void> set_days(std::string_view text);

    /// Hours as in `08:00-18:00`.
    Parsed<void> set_hours(std::string_view text);

private:
    static constexpr unsigned every_day = 0x7f;

    bool has(unsigned day) const noexcept { return (days_ >> day & 1) != 0; }

    unsigned days_ = every_day;  ///< A bit for each day, from Sunday.
    unsigned from_ = 0;          ///< In minutes since midnight.
    unsigned to_ = day_minutes;  ///< The first one after.
};

/// A rule as it is written.
class AccessRule {
public:
    bool allow = true;
    std::optional<Network> network;  ///< None: every client.
    Schedule schedule;

    AccessRule() = default;
};

/// `CIDR`, an address, or `all`.
Parsed<std::optional<Network>> parse_network(std::string_view text);

/// `[CIDR|ADDRESS|all] [DAYS] [HH:MM-HH:MM]`.
Parsed<AccessRule> parse_rule(bool allow, std::string_view text);

/// Reads rules, one a line, each after `allow` or `deny`; `#` starts a comment. The error names `file` and the line.
Parsed<std::vector<AccessRule>> parse_access(std::string_view text, const std::string& file);

/// Reads the file and parses it.
Parsed<std::vector<AccessRule>> load_access(const std::string& file);

/// The rules as the library takes them. `clock` says when they are in force.
AccessRules make_rules(const std::vector<AccessRule>& rules, const WallClock& clock);

/// `rules` and those of `file`, by the clock of `zone`; both names may be empty.
Parsed<AccessRules> load_rules(std::vector<AccessRule> rules, const std::string& file, const std::string& zone);

}  // namespace instancer::daemon
