// SPDX-License-Identifier: MIT
// Which denied connections the log tells one by one, and what it says of the others.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "observe/denied_tally.hpp"

using namespace std::chrono_literals;
using instancer::daemon::DeniedTally;

namespace {

const DeniedTally::Clock::time_point start{1h};

/// How many of `connections` from one source have a line.
std::size_t told(DeniedTally& tally, const std::string& source, std::size_t connections)
{
    std::size_t lines = 0;
    for (std::size_t i = 0; i < connections; ++i)
        lines += tally.count("shell", source, start);
    return lines;
}

std::string text_of(const std::vector<DeniedTally::Summary>& all)
{
    std::string text;
    for (const auto& summary : all)
        text += summary.service + "/" + summary.source + " " + std::to_string(summary.count) + "\n";
    return text;
}

}  // namespace

TEST_CASE("denied tally: a few of each source have a line in a window, and the others are counted at its end")
{
    DeniedTally tally;
    CHECK(told(tally, "192.0.2.1", 3) == 3);
    CHECK(told(tally, "192.0.2.1", 100) == 2);
    CHECK(told(tally, "192.0.2.2", 200) == 5);
    CHECK(told(tally, "192.0.2.3", 5) == 5);
    CHECK(tally.count("other", "192.0.2.1", start));
    CHECK(text_of(tally.take(start + 10s - 1ns)) == "");
    CHECK(text_of(tally.take(start + 10s)) == "shell/192.0.2.2 195\nshell/192.0.2.1 98\n");
    CHECK(text_of(tally.take(start + 20s)) == "");
    CHECK(told(tally, "192.0.2.1", 10) == 5);
    CHECK(text_of(tally.take_all()) == "shell/192.0.2.1 5\n");
}

TEST_CASE("denied tally: any number of sources has a bounded number of lines, and none is left out of the count")
{
    DeniedTally tally;
    std::size_t lines = 0;
    constexpr std::size_t sources = DeniedTally::most_sources + 500;
    for (std::size_t i = 0; i < sources; ++i)
        lines += tally.count("shell", std::to_string(i), start);
    CHECK(lines == DeniedTally::lines_in_all);
    CHECK(told(tally, "100", 7) == 0);
    const auto all = tally.take_all();
    REQUIRE(all.size() == DeniedTally::most_summaries + 1);
    CHECK(all.front().source == "100");
    CHECK(all.front().count == 8);
    CHECK(all.back().source == "");
    std::size_t counted = 0;
    for (const auto& summary : all)
        counted += summary.count;
    CHECK(counted == sources + 7 - lines);
}
