// SPDX-License-Identifier: MIT
// What the services of one daemon, and several daemons, must not share.
#include <doctest/doctest.h>

#include "config_problems.hpp"
#include "temporary_directory.hpp"

using namespace instancer::daemon;
using namespace config_test;

TEST_CASE("services must not take ports from each other")
{
    const auto problems = problems_of(R"({"services": {
"a": {"mode": "exec", "command": ["/bin/cat"], "listen": [":1", "unix:/tmp/x"], "io": "port", "ports": "8000-8009"},
"b": {"mode": "exec", "command": ["/bin/cat"], "listen": ["[::1]:1", "unix:/tmp/x"], "io": "port", "ports": "8009"},
"c": {"mode": "exec", "command": ["/bin/cat"], "listen": [":2", "127.0.0.1:2"]}
}})");
    REQUIRE(problems.size() == 4);
    CHECK(problems[0].find("c.json:3: $.services.b.listen: [::1]:1 is taken by :1 of service a") == 0);
    CHECK(problems[1].find("c.json:3: $.services.b.listen: unix:/tmp/x is taken by unix:/tmp/x of service a") == 0);
    CHECK(problems[2].find("c.json:3: $.services.b.ports: 8009 overlaps 8000-8009 of service a") == 0);
    CHECK(problems_of(R"({"services": {
"a": {"mode": "exec", "command": ["/bin/cat"], "listen": ":8005"},
"b": {"mode": "exec", "command": ["/bin/cat"], "listen": ":1", "io": "port", "ports": "8000-8009"}
}})")
              .at(0)
              .find("c.json:3: $.services.b.ports: 8000-8009 holds 8005, on which service a listens") == 0);
    CHECK(problems[3].find("c.json:4: $.services.c.listen: 127.0.0.1:2 is taken by :2 of the same service") == 0);
}

TEST_CASE("all addresses on which tunnels and relays listen are compared, too")
{
    const daemon_test::TemporaryDirectory directory;
    const auto routing = directory.file("routes", ":5 10.0.0.1:80\n:1 10.0.0.1:81\n");
    const auto problems = problems_of(R"({"services": {
"a": {"mode": "forward", "listen": ":1", "to": "h:1"},
"b": {"mode": "tunnel-server", "any-user": true, "agents": "all",
  "proxy": ":1",
  "routes": [":2 10.0.0.1:80", "127.0.0.1:2 10.0.0.1:81"],
  "routing": ")" + routing + R"("},
"c": {"mode": "tunnel-server", "any-user": true, "agents": "all", "routes": ":3 10.0.0.1:80",
  "proxy": ":5"},
"d": {"mode": "exec", "command": ["/bin/cat"], "listen": ":9", "io": "port", "ports": "3-5"},
"e": {"mode": "relay", "auth-string": "x", "listen": ":10", "control": "127.0.0.1:10"}
}})");
    const std::vector<std::string> expected = {
        "c.json:4: $.services.b.proxy: :1 is taken by :1 of service a; choose another",
        "c.json:5: $.services.b.routes: 127.0.0.1:2 is taken by :2 of the same service (\"routes\"); choose another",
        "c.json:6: $.services.b.routing: :1 is taken by :1 of service a; choose another",
        "c.json:6: $.services.b.routing: :1 is taken by :1 of the same service (\"proxy\"); choose another",
        "c.json:7: $.services.c: 127.0.0.1:4430 is taken by 127.0.0.1:4430 of service b (\"control\"); choose another "
        "by \"control\"",
        "c.json:8: $.services.c.proxy: :5 is taken by :5 of service b (\"routing\"); choose another",
        "c.json:9: $.services.d.ports: 3-5 holds 5, on which service b listens; choose another range",
        "c.json:9: $.services.d.ports: 3-5 holds 5, on which service c listens; choose another range",
        "c.json:9: $.services.d.ports: 3-5 holds 3, on which service c listens; choose another range",
        "c.json:10: $.services.e.control: 127.0.0.1:10 is taken by :10 of the same service; choose another"};
    CHECK(problems == expected);
}

TEST_CASE("ranges of ports that overlap are told once, with the ports that they share")
{
    const auto problems = problems_of(R"({"services": {
"a": {"mode": "exec", "command": ["/bin/cat"], "listen": [":20000-20009", ":30000"]},
"b": {"mode": "exec", "command": ["/bin/cat"], "listen": ["127.0.0.1:20005-20014", ":30000"]},
"c": {"mode": "exec", "command": ["/bin/cat"], "listen": [":40000-40002", ":40001-40003"]},
"d": {"mode": "exec", "command": ["/bin/cat"], "listen": ":1", "io": "port", "ports": "20008-30000"}
}})");
    const std::vector<std::string> expected = {
        "c.json:3: $.services.b.listen: 127.0.0.1:20005-20009 is taken by :20005-20009 of service a; choose another",
        "c.json:3: $.services.b.listen: :30000 is taken by :30000 of service a; choose another",
        "c.json:4: $.services.c.listen: :40001-40002 is taken by :40001-40002 of the same service; choose another",
        "c.json:5: $.services.d.ports: 20008-30000 holds 20008-20009, on which service a listens; choose another range",
        "c.json:5: $.services.d.ports: 20008-30000 holds 30000, on which service a listens; choose another range",
        "c.json:5: $.services.d.ports: 20008-30000 holds 20008-20014, on which service b listens; choose another range",
        "c.json:5: $.services.d.ports: 20008-30000 holds 30000, on which service b listens; choose another range"};
    CHECK(problems == expected);
}

TEST_CASE("the name of the daemon is the same for the same configuration, and no other's")
{
    Settings a, b;
    a.file = "/etc/a.json";
    b.file = "/etc/b.json";
    CHECK(a.daemon_name() == a.daemon_name());
    CHECK(a.daemon_name() != b.daemon_name());
    CHECK(parse_name(a.daemon_name()));
    CHECK(a.daemon_name("a machine") != a.daemon_name("another machine"));
    a.name = "mine";
    CHECK(a.daemon_name() == "mine");
    CHECK(a.daemon_name("a machine") == "mine");

    const auto listening = [](std::vector<std::string> addresses) {
        Settings settings;
        ServiceSettings service("exec", Mode::exec);
        for (const auto& address : addresses)
            service.listen.push_back(*parse_address(address));
        settings.services.push_back(service);
        return settings.daemon_name();
    };
    CHECK(listening({":1", ":2"}) == listening({":2", ":1"}));
    CHECK(listening({":1"}) != listening({":2"}));
    CHECK(listening({":1"}) != listening({"127.0.0.1:1"}));
}
