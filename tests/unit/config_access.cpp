// SPDX-License-Identifier: MIT
// Rules from text, and when they are in force.
#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include "files/access.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::sys_days monday(2025y / 1 / 6);

/// Whether a rule of that text, which allows, is in force.
bool holds(const std::string& rule, std::chrono::system_clock::time_point time, const std::string& zone = "UTC")
{
    const auto parsed = parse_rule(true, rule);
    REQUIRE(parsed);
    return make_rules({*parsed}, find_clock(zone).value()).check(ClientInfo(), time).has_value();
}

std::string error_of(const std::string& rule)
{
    const auto parsed = parse_rule(true, rule);
    return parsed ? "" : parsed.error();
}

std::string network_of(const std::string& rule)
{
    const auto parsed = parse_rule(true, rule);
    REQUIRE(parsed);
    return parsed->network ? parsed->network->to_string() : "all";
}

}  // namespace

TEST_CASE("access: who")
{
    CHECK(network_of("10.0.0.0/8") == "10.0.0.0/8");
    CHECK(network_of("  192.0.2.1\t") == "192.0.2.1");
    CHECK(network_of("2001:DB8::/32 mon-fri 08:00-18:00") == "2001:db8::/32");
    CHECK(network_of("::1") == "::1");
    CHECK(network_of("::ffff:10.0.0.0/104") == "10.0.0.0/8");
    CHECK(network_of("0.0.0.0/0") == "0.0.0.0/0");
    CHECK(network_of("all") == "all");
    CHECK(network_of("sat,sun") == "all");
    CHECK(network_of("08:00-18:00") == "all");
    CHECK(parse_rule(true, "all")->schedule.holds_always());
    CHECK(parse_rule(true, "all mon-sun 00:00-24:00")->schedule.holds_always());
}

TEST_CASE("access: what is no rule names the right one")
{
    CHECK(error_of("").find("is empty; write who and when") == 0);
    CHECK(error_of("10.1.2.3/8") == "'10.1.2.3/8' has bits beyond its prefix; write 10.0.0.0/8 for the network, or "
                                    "10.1.2.3 for the address alone");
    CHECK(error_of("2001:db8::1/32").find("write 2001:db8::/32 for the network") != std::string::npos);
    CHECK(error_of("10.0.0.0/33") == "'10.0.0.0/33' has no such prefix; write a number from 0 to 32 after the /");
    CHECK(error_of("::/129").find("from 0 to 128") != std::string::npos);
    CHECK(error_of("10.0.0.0/").find("no such prefix") != std::string::npos);
    CHECK(error_of("10.0.0").find("'10.0.0' is no network; write 10.0.0.0/8") == 0);
    CHECK(error_of("10.0.0.256").find("is no network") != std::string::npos);
    CHECK(error_of("fe80::1%lo").find("is neither a network, nor days, nor hours") != std::string::npos);
    CHECK(error_of("localhost").find("'localhost' is neither a network, nor days, nor hours") == 0);
    CHECK(error_of("monday").find("'monday' are no days; write mon-fri, or sat,sun") == 0);
    CHECK(error_of("mon-").find("'mon-' are no days") == 0);
    CHECK(error_of("mon,,tue").find("are no days") != std::string::npos);
    CHECK(error_of("8:00-18:00").find("'8:00-18:00' are no hours; write 08:00-18:00") == 0);
    for (const auto* hours : {"08:00-24:01", "24:00-08:00", "08:60-09:00", "08:00-", "08:00-18:00-19:00"})
        CHECK(error_of(hours).find("are no hours") != std::string::npos);
    CHECK(error_of("08:00-08:00").find("leave hours out for the whole day") != std::string::npos);
    CHECK(error_of("10.0.0.1 10.0.0.2").find("'10.0.0.2' is one too many") == 0);
    CHECK(error_of("mon tue").find("or days as in sat,sun") != std::string::npos);
}

TEST_CASE("access: days, which may run past the end of the week")
{
    const auto days_of = [](const std::string& rule) {
        std::string days;
        for (int day = 0; day < 7; ++day)
            days += holds(rule, monday + std::chrono::days(day) + 12h) ? "MTWTFSS"[day] : '-';
        return days;
    };
    CHECK(days_of("mon-fri") == "MTWTF--");
    CHECK(days_of("sat,sun") == "-----SS");
    CHECK(days_of("wed") == "--W----");
    CHECK(days_of("fri-mon") == "M---FSS");
    CHECK(days_of("mon-tue,thu,sat-sun") == "MT-T-SS");
    CHECK(days_of("all") == "MTWTFSS");
}

TEST_CASE("access: hours, which may run past midnight into the day after")
{
    CHECK_FALSE(holds("08:00-18:00", monday + 7h + 59min + 59s));
    CHECK(holds("08:00-18:00", monday + 8h));
    CHECK(holds("08:00-18:00", monday + 17h + 59min + 59s));
    CHECK_FALSE(holds("08:00-18:00", monday + 18h));
    CHECK(holds("22:00-24:00", monday + 23h + 59min));
    CHECK_FALSE(holds("22:00-24:00", monday + 24h));

    CHECK_FALSE(holds("mon 22:00-06:00", monday + 5h));
    CHECK_FALSE(holds("mon 22:00-06:00", monday + 21h + 59min));
    CHECK(holds("mon 22:00-06:00", monday + 22h));
    CHECK(holds("mon 22:00-06:00", monday + 24h + 5h + 59min));
    CHECK_FALSE(holds("mon 22:00-06:00", monday + 24h + 6h));
    CHECK_FALSE(holds("mon 22:00-06:00", monday + 24h + 22h));
    // From Sunday into Monday.
    CHECK(holds("sun 22:00-06:00", monday + 5h));
    CHECK(holds("22:00-06:00", monday + 5h));
}

TEST_CASE("access: the clock of a zone, also on the days on which it is changed")
{
    // Berlin is an hour ahead of UTC in winter, two in summer, from 2025-03-30 01:00 UTC to 2025-10-26 01:00 UTC.
    const std::string berlin = "Europe/Berlin";
    CHECK(holds("08:00-18:00", monday + 7h, berlin));
    CHECK_FALSE(holds("08:00-18:00", monday + 17h, berlin));
    CHECK(holds("sun", monday - 2h, berlin));
    CHECK(holds("mon", monday - 30min, berlin));
    const std::chrono::sys_days summer(2025y / 7 / 7), spring(2025y / 3 / 30), autumn(2025y / 10 / 26);
    CHECK(holds("08:00-18:00", summer + 6h, berlin));
    CHECK_FALSE(holds("08:00-18:00", summer + 16h, berlin));

    const auto minutes_in_force = [&](const std::string& rule, std::chrono::sys_days day) {
        int count = 0;
        for (auto minute = 0min; minute < 6h; ++minute)
            count += holds(rule, day - 1h + minute, berlin) ? 1 : 0;
        return count;
    };
    CHECK(minutes_in_force("02:00-03:00", monday) == 60);
    CHECK(minutes_in_force("02:00-03:00", spring) == 0);
    CHECK(minutes_in_force("01:00-04:00", spring) == 120);
    CHECK(minutes_in_force("02:00-03:00", autumn) == 120);
    CHECK(minutes_in_force("02:30-03:00", autumn) == 60);

    // Half hours, and the other side of the date line.
    CHECK(holds("mon 05:30-05:31", monday, "Asia/Kolkata"));
    CHECK(holds("sun 13:00-13:01", monday, "Pacific/Pago_Pago"));
    CHECK(holds("mon 14:00-14:01", monday, "Pacific/Kiritimati"));
    CHECK(holds("mon 00:00-24:00", monday, "UTC"));
}

TEST_CASE("access: a zone that nobody knows is named with a right one")
{
    for (const auto* zone : {"Europe/Berln", "CEST+1", "../../../etc/passwd", "Europe"}) {
        const auto clock = find_clock(zone);
        REQUIRE_FALSE(clock);
        CHECK(clock.error() == "'" + std::string(zone) +
                                   "' is no time zone that this system knows; write one of "
                                   "/usr/share/zoneinfo, as in Europe/Berlin");
    }
    CHECK(find_clock(""));
}

TEST_CASE("access: a file of rules, and what is wrong with it by its line")
{
    const auto rules = parse_access("# who\n\nallow 10.0.0.0/8 mon-fri # work\r\n  deny\tall\nallow sat,sun", "r.txt");
    REQUIRE(rules);
    REQUIRE(rules->size() == 3);
    CHECK(rules->at(0).network->to_string() == "10.0.0.0/8");
    CHECK_FALSE(rules->at(1).allow);
    CHECK(rules->at(2).allow);
    CHECK(parse_access("", "r.txt")->empty());

    const auto error_in = [](const std::string& text) {
        const auto wrong_rules = parse_access(text, "r.txt");
        return wrong_rules ? std::string() : wrong_rules.error();
    };
    CHECK(error_in("allow all\npermit all\n") ==
          "r.txt:2: 'permit' is neither allow nor deny; write one of them, and then the rule");
    CHECK(error_in("\n\ndeny\n").find("r.txt:3: is empty; write who and when") == 0);
    CHECK(error_in("deny 10.0.0.0/40").find("r.txt:1: '10.0.0.0/40' has no such prefix") == 0);
    CHECK(error_in("10.0.0.0/8").find("r.txt:1: '10.0.0.0/8' is neither allow nor deny") == 0);
    CHECK(error_in(std::string("deny all\0x", 10)).find("r.txt:1: 'all\\x00x' is neither") == 0);

    const daemon_test::TemporaryDirectory directory;
    CHECK(load_access(directory.path("none")).error() ==
          "cannot read " + directory.path("none") + ": No such file or directory");
    CHECK(load_access(directory.file("r", "deny all\n"))->size() == 1);
}

TEST_CASE("access: the rules of the options and of the file hold together")
{
    const daemon_test::TemporaryDirectory directory;
    const auto file = directory.file("r", "deny 10.1.0.0/16\n");
    const auto rules = load_rules({*parse_rule(true, "10.0.0.0/8")}, file, "UTC");
    REQUIRE(rules);
    CHECK(rules->size() == 2);
    CHECK(load_rules({}, directory.path("none"), "").error().find("cannot read ") == 0);
}
