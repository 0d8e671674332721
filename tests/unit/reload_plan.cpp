// SPDX-License-Identifier: MIT
// What a configuration that is read again changes.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "config/config.hpp"
#include "options/options.hpp"
#include "reload/reload_report.hpp"

using namespace instancer::daemon;

namespace {

using Action = ServiceChange::Action;

std::shared_ptr<const Settings> settings_of(const std::string& text)
{
    Problems problems;
    auto settings = std::make_shared<const Settings>(read_config("/c.json", text, problems));
    REQUIRE(problems.empty());
    return settings;
}

ReloadPlan plan(const std::string& before, const std::string& now)
{
    const auto old = settings_of(before);
    std::vector<OwnedSettings> running;
    for (std::size_t i = 0; i < old->services.size(); ++i)
        running.emplace_back(old, i);
    return plan_reload(*old, running, *settings_of(now)).value();
}

/// One service with these options, and one that stays as it is.
std::string web(const std::string& options, const std::string& mode = "exec")
{
    return R"({"services": {"web": {"mode": ")" + mode + "\"" + (options.empty() ? "" : ", ") + options +
           R"(}, "other": {"mode": "exec", "listen": ":2", "command": ["/bin/cat"]}}})";
}

ServiceChange change(const std::string& before, const std::string& now, const std::string& mode = "exec")
{
    const auto services = plan(web(before, mode), web(now, mode)).services;
    REQUIRE(services.size() == 1);
    return services.front();
}

}  // namespace

TEST_CASE("reload plan: what is the same, however it is written, stays")
{
    const auto same = plan(web(R"("ttl": "1m")"), "// again\n" + web(R"("ttl"  : "1m")"));
    CHECK(same.services.empty());
    CHECK(same.daemon.empty());
}

TEST_CASE("reload plan: each option says for what it holds")
{
    const auto changed =
        change(R"("listen": ":1", "ttl": "1m", "command": ["/bin/cat"], "session-idle": "1m", "warm": 1,
                                   "limits": {"pids": 5}, "env": {"A": "1"})",
               R"("listen": ":3", "ttl": "2m", "command": ["/bin/tac"], "warm": 2,
                                   "limits": {"pids": 6}, "env": {"A": "2"})");
    CHECK(changed == ServiceChange("web", Action::change,
                                   {{"listen", Effect::now},
                                    {"ttl", Effect::new_instances},
                                    {"command", Effect::instance_start},
                                    {"session-idle", Effect::new_sessions},
                                    {"warm", Effect::now},
                                    {"limits.pids", Effect::instance_start},
                                    {"env.A", Effect::instance_start}}));
    CHECK(joined(descriptions_of(changed.options))
              .starts_with("listen (at once), ttl (for new instances), command (for new "
                           "instances), session-idle (for new sessions)"));
}

TEST_CASE("reload plan: instances are started anew only where an option concerns their start")
{
    CHECK_FALSE(change(R"("ttl": "1m")", R"("ttl": "2m", "max-instances": 3, "auth": "source")").concerns_starts());
    CHECK(change(R"("user": "nobody")", R"("user": "root")").concerns_starts());
    CHECK(change("", R"("limits": {"pids": 5})").concerns_starts());
    CHECK(change("", R"("image": "i")", "docker").concerns_starts());
}

TEST_CASE("reload plan: a service with an option that takes a restart stays whole")
{
    const auto changed = change(R"("ttl": "1m", "io": "stdio")", R"("ttl": "2m", "io": "port")");
    CHECK(changed.action == Action::restart);
    CHECK(changed.options.size() == 2);
    // Channels and tunnels live in their service.
    CHECK(change(R"("listen": ":1")", R"("listen": ":3")", "relay").action == Action::restart);
    CHECK(change(R"("session-idle": "1s")", "", "tunnel-server").action == Action::restart);
}

TEST_CASE("reload plan: services come, go, change their names and their mode")
{
    const std::string one = R"({"services": {"a": {"mode": "exec"}, "b": {"mode": "exec"}}})";
    CHECK(plan(one, R"({"services": {"b": {"mode": "exec"}, "c": {"mode": "exec"}}})").services ==
          std::vector<ServiceChange>{{"a", Action::remove}, {"c", Action::add}});
    CHECK(plan(one, R"({"services": {"a": {"mode": "exec"}, "b": {"mode": "docker"}}})").services ==
          std::vector<ServiceChange>{{"b", Action::restart, {{"mode", Effect::restart}}}});
}

TEST_CASE("reload plan: of the daemon's own options the log's hold at once")
{
    const auto top = [](const std::string& options) {
        return "{" + options + R"(, "services": {"a": {"mode": "exec"}}})";
    };
    const auto changed = plan(top(R"("log-level": "info", "threads": 1, "busy-poll": "100us", "drain-timeout": "60s")"),
                              top(R"("log-level": "debug", "threads": 2, "busy-poll": "0", "drain-timeout": "1m")"));
    CHECK(changed.services.empty());
    CHECK(changed.daemon == std::vector<OptionChange>{{"threads", Effect::restart},
                                                      {"busy-poll", Effect::restart},
                                                      {"log-level", Effect::now}});
    ReloadReport report(true);
    report.plan = changed;
    report.plan.services.push_back(change(R"("io": "stdio")", R"("io": "port")"));
    CHECK(report.restarts() == std::vector<std::string>{"threads", "busy-poll", "services.web.io"});
}

TEST_CASE("reload plan: every option of the daemon can be compared, and every option says what a change of it takes")
{
    for (const auto& option : options()) {
        INFO(option.name);
        if (includes(option.scope, Scope::daemon))
            CHECK(static_cast<bool>(option.type.print));
        CHECK(option.effect() != Effect::usual);
        CHECK_FALSE(option.describe_effect().empty());
    }
}
