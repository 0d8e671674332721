// SPDX-License-Identifier: MIT
// Rates, bans and texts as they are written.
#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "config/command_line.hpp"
#include "config/text.hpp"
#include "config_problems.hpp"
#include "crowd/ban_file.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;
using test_text::holds;

namespace {

Settings settings_of(const std::string& options)
{
    const auto command = parse_command_line(split("exec --listen :1 " + options + " -- /bin/cat", ' '));
    CHECK(command.problems.empty());
    CHECK(command.text == "");
    return command.settings;
}

CrowdSettings crowd_of(const std::string& options) { return settings_of(options).services.front().crowd; }

/// What is wrong with these options, of a service that asks for a token.
std::string complaint(const std::string& options)
{
    return config_test::complaint(split("exec --listen :1 " + options + " -- /bin/cat", ' '));
}

}  // namespace

TEST_CASE("crowd: rates")
{
    const auto rate = crowd_of("--connect-rate 10/1m").connect_rate;
    CHECK(rate.count() == 10);
    CHECK(rate.span() == 1min);
    CHECK(crowd_of("--connect-rate 0").connect_rate.unlimited());
    for (const auto* wrong : {"10", "10/", "/1m", "0/1m", "10/0", "10/1", "-1/1m", "10/1m/2"})
        CHECK(holds(complaint("--connect-rate " + std::string(wrong)),
                    "'" + std::string(wrong) + "' is no rate; write how many in which time, as in 10/1m"));
}

TEST_CASE("crowd: texts are replaced by name, with escapes")
{
    const auto crowd = crowd_of("--tell --tell-text full=no\\r\\nroom --tell-text rejected=");
    CHECK(crowd.tell);
    CHECK(crowd.texts.full == "no\r\nroom");
    CHECK(crowd.texts.rejected.empty());
    CHECK(crowd.texts.late == ClientTexts().late);
    CHECK(holds(complaint("--tell --tell-text ful=x"),
                "--tell-text: 'ful' is no text; write queued, full, enough, often"));
    CHECK(crowd_of("--tell --tell-text queued={position}/{waiting}{x --tell-text often={Wait}{}{wait}").tell);
    CHECK(holds(complaint("--tell --tell-text often=in{time}"), "--tell-text: '{time}' stands for nothing in 'often'; "
                                                                "write {wait}"));
    CHECK(holds(complaint("--tell --tell-text queued={wait}"), "'{wait}' stands for nothing in 'queued'"));
}

TEST_CASE("crowd: what cannot work is named, with the remedy")
{
    CHECK(
        holds(complaint("--ban-after 5/1m"), "--ban-after: bans nobody where nothing is asked of clients; add --auth"));
    CHECK(holds(complaint("--ban-after 5/1m --pow 0"), "--ban-after: bans nobody where nothing is asked of clients"));
    CHECK(complaint("--ban-after 5/1m --pow 5s") == "");
    CHECK(holds(complaint("--ban-for 5m"), "--ban-for: needs --ban-after N/DURATION; add that or remove this"));
    CHECK(holds(complaint("--ban-for 48h"), "'48h' is no time to ban somebody; write 1s to 24h, as in 10m"));
    CHECK(holds(complaint("--ban-exempt 10.0.0.0/8"), "--ban-exempt: needs --ban-after N/DURATION or --ban-file FILE"));
    CHECK(holds(complaint("--ban-file /nowhere/bans"), "--ban-file: there is no directory /nowhere; create it"));
    CHECK(holds(complaint("--tell-text full=x"), "--tell-text: needs --tell or --warn-before DURATION; add one"));
    CHECK(complaint("--warn-before 1m") == "");
    CHECK(complaint("--warn-before 15m --session-timeout 1h") == "");
    for (const auto* none : {"--warn-before 10m", "--warn-before 1m --idle 0", "--warn-before 1m --idle 1m"})
        CHECK(holds(complaint(none), "--warn-before: is not shorter than any limit of time of a session; lower it, or "
                                     "add --ttl DURATION"));
    CHECK(holds(complaint("--warn-before 1m --ttl 1m"), "--warn-before: is not shorter than --ttl; lower it"));
    CHECK(holds(complaint("--io socket --ttl 1h --warn-before 1m"),
                "--warn-before: cannot work together with --io socket: the program alone speaks to its client"));
    CHECK(holds(complaint("--max-authenticating 5"), "--max-authenticating: counts nobody where clients need not say"));
    CHECK(complaint("--denied close --connect-rate 1/1s --source-prefix4 24") == "");
}

TEST_CASE("crowd: a file of bans is read as it is written")
{
    const auto bans = parse_bans("# by hand\n\ndeny 192.0.2.1 until 2126-11-30T08:15:00Z # it guesses # tokens\r\n"
                                 "deny 192.0.2.2 until 2126-11-30T08:15:00Z times 3 # again\n"
                                 "deny 2001:db8::/32 until 2126-11-30T08:15:01Z\n",
                                 "bans");
    REQUIRE(bans);
    REQUIRE(bans->size() == 3);
    CHECK(bans->at(1).times == 3);
    CHECK(bans->back().times == 0);
    CHECK(bans->front().reason == "it guesses # tokens");
    CHECK(bans->back().reason == "an operator banned it");
    CHECK(print_bans(*bans) == "deny 192.0.2.1 until 2126-11-30T08:15:00Z # it guesses # tokens\n"
                               "deny 192.0.2.2 until 2126-11-30T08:15:00Z times 3 # again\n"
                               "deny 2001:db8::/32 until 2126-11-30T08:15:01Z # an operator banned it\n");
    const auto error = [](const std::string& line) {
        const auto parsed = parse_bans("# the first\n" + line, "bans");
        return parsed ? std::string() : parsed.error();
    };
    CHECK(holds(error("deny 192.0.2.1"), "bans:2: is no ban; write deny NETWORK until TIME # reason"));
    CHECK(holds(error("allow 192.0.2.1 until 2126-11-30T08:15:00Z"), "bans:2: is no ban"));
    CHECK(holds(error("deny somebody until 2126-11-30T08:15:00Z"), "bans:2: 'somebody' is no network"));
    CHECK(holds(error("deny all until 2126-11-30T08:15:00Z"), "bans:2: everybody would be banned"));
    for (const auto* times : {"times", "times 3 4", "often 3"})
        CHECK(holds(error("deny 192.0.2.1 until 2126-11-30T08:15:00Z " + std::string(times)), "bans:2: is no ban"));
    CHECK(holds(error("deny 192.0.2.1 until 2126-11-30T08:15:00Z times 0"), "bans:2: after times, '0' does not fit"));
    CHECK(holds(error("deny 192.0.2.1 until noon"), "bans:2: 'noon' is no time; write it in UTC"));
}

TEST_CASE("crowd: a ban far beyond what the clock reaches holds as long as that does")
{
    const auto bans = parse_bans("deny 192.0.2.1 until 9999-12-31T23:59:59Z # for ever\n", "bans");
    REQUIRE(bans);
    BanList list((BanOptions()));
    list.add(bans->front());
    CHECK(list.find(asio::ip::make_address("192.0.2.1"), std::chrono::system_clock::now()));
}

TEST_CASE("crowd: a file of bans that is a FIFO is refused, and nobody waits for its other end")
{
    const daemon_test::TemporaryDirectory directory;
    const auto fifo = directory.path("bans");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(holds(complaint("--ban-file " + fifo), "--ban-file: " + fifo + " is no regular file; remove it"));
}

TEST_CASE("crowd: a reason cannot forge a line of the file")
{
    const Ban ban(Network(asio::ip::make_address("192.0.2.1")), std::chrono::system_clock::time_point(), "a\ndeny all");
    CHECK(holds(print_bans({ban}), "# a\\ndeny all\n"));
}
