// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <config/changes.hpp>

using namespace instancer::daemon;

TEST_CASE("config changes: what differs is named, down to the option; layout and comments do not count")
{
    const std::string before = R"({"log-level": "info", "services": {"web": {"ttl": "1m", "listen": [":1", ":2"]},
                                   "old": {"mode": "exec"}}})";
    const auto changes = [&](const std::string& now) { return changes_between(before, now, "c.json").value(); };
    using Names = std::vector<std::string>;
    CHECK(changes("// again\n" + before).empty());
    CHECK(changes(R"({"services": {"web": {"ttl": "2m", "listen": [":1"], "pty": true}, "new": {}}})") ==
          Names{"log-level", "services.web.ttl", "services.web.listen", "services.web.pty", "services.old",
                "services.new"});
    CHECK(changes_between(before, "{", "c.json").error().starts_with("c.json:1"));
}
