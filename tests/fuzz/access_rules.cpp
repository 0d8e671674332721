// SPDX-License-Identifier: MIT
// A file of access rules: what is wrong with it is said in one line that names the place; what is read holds by the
// clock as it is written.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "files/access.hpp"
#include "require.hpp"

using namespace instancer;
using namespace instancer::daemon;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    const auto rules = parse_access(text, "rules");
    if (!rules) {
        REQUIRE(rules.error().starts_with("rules:"));
        REQUIRE(rules.error().size() < 1000);
        REQUIRE(std::all_of(rules.error().begin(), rules.error().end(), [](unsigned char c) { return c >= 0x20; }));
        return 0;
    }
    REQUIRE(rules->size() <= static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1);
    for (const auto& rule : *rules) {
        unsigned minutes = 0;
        for (unsigned day = 0; day < 7; ++day)
            for (unsigned minute = 0; minute < Schedule::day_minutes; minute += 15)
                minutes += rule.schedule.holds(WallTime(day, minute)) ? 15 : 0;
        REQUIRE((minutes == 7 * Schedule::day_minutes) >= rule.schedule.holds_always());
        if (!rule.network)
            continue;
        const auto again = parse_network(rule.network->to_string());
        REQUIRE((again && *again == rule.network));
    }
    const auto made = make_rules(*rules, [](auto) { return WallTime(1, 600); });
    REQUIRE(made.size() == rules->size());
    (void)made.check(ClientInfo(), {});
    return 0;
}
