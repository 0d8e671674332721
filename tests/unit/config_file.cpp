// SPDX-License-Identifier: MIT
// From the text of a configuration to settings, or to what is wrong with the text.
#include <algorithm>

#include <doctest/doctest.h>

#include "config_problems.hpp"
#include "options/options.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace config_test;
using namespace std::chrono_literals;

namespace {

Settings read(const std::string& text)
{
    Problems problems;
    auto settings = read_config("/etc/instancer/c.json", text, problems);
    for (const auto& problem : problems)
        FAIL_CHECK(problem.format("c.json"));
    return settings;
}

}  // namespace

TEST_CASE("the example of the documentation reads")
{
    const auto settings = read(R"({ // one daemon, several services
  "log-level": "info",
  "services": {
    "shell": { "mode": "exec",   "listen": ":1337", "command": ["/usr/bin/python3", "chall.py"],
               "max-instances": 200, "ttl": "10m" },
    "heap":  { "mode": "docker", "listen": [":1338", "unix:/run/heap.sock"], "image": "heap", "port": 9000,
               "auth": "token", "tokens": "tokens.txt", "warm": 4 }
  }
})");
    REQUIRE(settings.services.size() == 2);
    const auto& shell = settings.services[0];
    CHECK(shell.name == "shell");
    CHECK(shell.mode == Mode::exec);
    CHECK(shell.command == std::vector<std::string>{"/usr/bin/python3", "chall.py"});
    CHECK(shell.pool.max_instances == 200);
    CHECK(shell.pool.ttl == 10min);
    CHECK(shell.pool.linger == 0s);
    CHECK(shell.pool.max_per_owner == 0);
    CHECK(shell.client_env);
    const auto& heap = settings.services[1];
    CHECK(heap.listen.size() == 2);
    CHECK(heap.docker.port == 9000);
    CHECK(heap.tokens == "/etc/instancer/tokens.txt");
    CHECK(heap.pool.warm == 4);
    CHECK(heap.pool.linger == 5min);
    CHECK(heap.pool.max_per_owner == 4);
    CHECK_FALSE(heap.client_env);
}

TEST_CASE("every option can be set in a configuration")
{
    const auto settings = read(R"({
  "name": "box", "threads": 3, "busy-poll": "100us", "log-level": "debug", "log-format": "json", "log": "l",
  "access-log": "accesses", "metrics": "unix:m",
  "admin": "127.0.0.1:9", "admin-token-file": "admin.token", "admin-host": ["admin.example.org"],
  "max-instances": 50, "init": "init", "max-unadmitted": 70,
  "max-unadmitted-per-source": 5, "max-per-owner": 9,
  "drain-timeout": "1m",
  "services": {
    "e": { "mode": "exec", "listen": ["127.0.0.1:1", "unix:e.sock"], "unix-mode": "0600",
           "unix-owner": "root", "unix-group": "0", "command": ["./a", "{port}"],
           "auth": "source", "source-prefix": 56, "auth-timeout": "3s", "max-instances": 10, "max-per-owner": 2,
           "max-sessions": 5, "max-starting": 6, "when-full": "queue",
           "queue-size": 7, "queue-timeout": "8s", "warm": 1,
           "ttl": "1h", "idle": 0, "linger": "30s", "start-timeout": "5s", "stop-grace": "100ms", "drain-timeout": "2s",
           "stderr": "null", "env": {"A": "b", "C": ""}, "client-env": "off", "user": "nobody", "io": "port",
           "ports": "8000-8019", "workdir": "w", "dir-template": "t",
           "limits": {"memory": "64m", "pids": 20, "nofile": 30, "core": "1k"} },
    "d": { "mode": "docker", "listen": ":2", "image": "i", "command": ["x"], "stdio": true, "pty": true,
           "pull": "never", "egress": true, "mounts": ["data:/data"], "tmpfs": ["/run:8m"], "writable": true,
           "runtime": "runsc", "engine": "unix:///e.sock", "auth": "token", "tokens": "/t", "reset-id": "00ff",
           "on-removed": "end",
           "limits": {"memory": "6m", "cpus": 0.5, "pids": 1, "nofile": 2, "tmp": "3k", "log": "4k"} },
    "f": { "mode": "forward", "listen": ":3", "to": ["a:1=2,[::1]:2", "unix:u"], "balance": "source-hash",
           "session-idle": "1m", "half-close-timeout": "2m", "session-timeout": "3m",
           "traffic-log": "hex", "traffic-log-limit": "2k", "record": "r", "record-limit": "3m", "record-total": "4g",
           "source-prefix": 48, "auth-timeout": "4s",
           "allow": ["10.0.0.0/8 mon-fri", "all 08:00-18:00"], "deny": "10.1.0.0/16", "access-file": "rules",
           "time-zone": "UTC", "denied": "hold", "max-connections": 100, "max-per-source": 3,
           "accept-proxy": ["10.0.0.1", "::1"],
           "connect-timeout": "2s", "max-fails": 5, "fail-timeout": "1m", "check-interval": "3s",
           "check-timeout": "700ms", "check-send": "GET / HTTP/1.0\\r\\n\\r\\n", "check-expect": "\\x20200 ",
           "check-fall": 4, "check-rise": 6, "slow-start": "30s", "when-down": "close-listener",
           "max-per-upstream": 9, "queue-size": 0, "queue-timeout": "8s", "send-proxy": "v2" },
    "g": { "mode": "forward", "listen": ":4", "to-file": "list" },
    "h": { "mode": "relay", "listen": ":5", "auth-string": "a", "auth-file": "b", "max-total": 7, "max-connections": 3,
           "max-pairs": 255, "digit-pause": "1s", "dialect": "documentation", "echo": true, "slow": "queue",
           "slow-timeout": "2s", "slow-queue": "3k", "alone": "hold", "alone-limit": 4, "half-close": "stay",
           "control": ":6", "verbose": 4 },
    "i": { "mode": "tunnel-server", "proxy": ":8", "routing": "routes", "routes": [":5 10.0.0.1:80"], "config": "c",
           "db": "u", "any-user": true, "agents": ["10.0.0.0/8", "::1"], "second-agent": "refused",
           "agent-wait": "1s", "control": "unix:ctl", "hold-back": "2ms", "half-close-hold": "3s",
           "session-buffer": "64k", "total-buffer": "128k", "stall-timeout": "4s", "max-connections": 5 },
    "j": { "mode": "tunnel-agent", "proxy": "host:9", "targets": ["10.0.0.0/8:80", "all"], "keep-alive": "5s",
           "reconnect": "6s", "connect-timeout": "7s", "max-sessions": 8 },
    "k": { "mode": "exec", "listen": ":10", "command": ["a"], "auth": "prompt", "tokens": "t", "prompt": "who? ",
           "sandbox": true },
    "crowded": { "mode": "exec", "listen": ":11", "command": ["a"], "ttl": "1h", "source-prefix4": 24,
                 "connect-rate": "10/1m", "start-rate": "5/1h", "ban-after": "3/30s", "ban-for": "5m",
                 "ban-exempt": ["10.0.0.0/8", "::1"], "ban-file": "bans", "max-authenticating": 6, "tell": true,
                 "tell-text": {"full": "no\\r\\nroom", "warning": "soon"}, "warn-before": "2m" },
    "signed": { "mode": "exec", "listen": ":12", "command": ["a"], "auth": "signed", "auth-key": ["k.pem", "shared"],
                "menu": true },
    "web": { "mode": "exec", "listen": ":13", "command": ["a"], "auth": "webhook", "auth-url": "https://a.example/whose",
             "auth-url-timeout": "2s", "auth-url-cache": "3m", "auth-url-down": "cached" },
    "priced": { "mode": "exec", "listen": ":14", "command": ["a"], "pow": "2s", "pow-max": "20s", "pow-for": "connect",
                "pow-style": "hxp", "pow-timeout": "1m", "max-proving": 7, "pow-bypass": "key.pem" },
    "flagged": { "mode": "docker", "listen": ":15", "image": "i", "ttl": "1h", "extend": "10m", "extend-max": "30m",
                 "extend-window": "5m", "flag": "F{{hmac}}", "flag-key": "k", "flag-scope": "instance",
                 "flag-file": "/run/flag/flag", "flag-mode": "0440", "flag-owner": "1:2", "flag-log": "issued" },
    "o": { "mode": "oci", "listen": ":16", "rootfs": "files", "stdio": true, "command": ["x"],
           "allow-setuid": true, "cap-add": "NET_RAW", "devices": ["/dev/null"], "seccomp": "filter.json" },
    "image": { "mode": "oci", "listen": ":17", "archive": "image.tar", "store": "images" }
  }
})");
    CHECK(settings.name == "box");
    CHECK(settings.threads == 3);
    CHECK(settings.busy_poll == 100us);
    CHECK(settings.log_level == LogLevel::debug);
    CHECK(settings.log_format == LogFormat::json);
    CHECK(settings.log_file == "/etc/instancer/l");
    CHECK(settings.watch.access_log == "/etc/instancer/accesses");
    CHECK(settings.watch.metrics->text() == "unix:/etc/instancer/m");
    CHECK(settings.max_instances == 50);
    CHECK(settings.max_unadmitted == 70);
    CHECK(settings.max_unadmitted_per_source == 5);
    CHECK(settings.max_per_owner == 9);
    CHECK(settings.init == "/etc/instancer/init");
    CHECK(settings.drain_timeout == 1min);

    const auto& e = settings.services.at(0);
    CHECK(e.listen[1].name() == "/etc/instancer/e.sock");
    CHECK(e.unix_mode == 0600);
    CHECK(e.unix_owner == "root");
    CHECK(e.unix_group == "0");
    CHECK(settings.program(e) == "/etc/instancer/a");
    CHECK(e.auth == Auth::source);
    CHECK(e.source_prefix == 56);
    CHECK(e.auth_timeout == 3s);
    CHECK(e.pool.max_instances == 10);
    CHECK(e.pool.max_per_owner == 2);
    CHECK(e.pool.max_sessions_per_instance == 5);
    CHECK(e.pool.max_starting == 6);
    CHECK(e.pool.when_full == WhenFull::queue);
    CHECK(e.pool.queue_size == 7);
    CHECK(e.pool.queue_timeout == 8s);
    CHECK(e.pool.warm == 1);
    CHECK(e.pool.ttl == 1h);
    CHECK(e.pool.idle == 0s);
    CHECK(e.pool.linger == 30s);
    CHECK(e.pool.start_timeout == 5s);
    CHECK(e.stop_grace == 100ms);
    CHECK(e.drain_timeout == 2s);
    CHECK(e.stderr_to == StderrTo::null);
    CHECK(e.env == std::vector<std::pair<std::string, std::string>>{{"A", "b"}, {"C", ""}});
    CHECK_FALSE(e.client_env);
    CHECK(e.user == "nobody");
    CHECK(e.io == ProcessIo::port);
    CHECK(e.ports->first() == 8000);
    CHECK(e.working_directory == "/etc/instancer/w");
    CHECK(e.dir_template == "/etc/instancer/t");
    CHECK(e.limits.memory == 64u << 20);
    CHECK(e.limits.pids == 20);
    CHECK(e.limits.nofile == 30);
    CHECK(e.limits.core == 1024);

    const auto& d = settings.services.at(1);
    CHECK(d.docker.image == "i");
    CHECK(d.docker.io == DockerIo::stdio);
    CHECK(d.pty == TerminalMode::cooked);
    CHECK(d.docker.pull == DockerPull::never);
    CHECK(d.docker.egress);
    CHECK(d.docker.mounts.at(0).source == "/etc/instancer/data");
    CHECK(d.docker.mounts.at(0).target == "/data");
    CHECK(d.docker.tmpfs.at(0).size == 8u << 20);
    CHECK_FALSE(d.docker.read_only);
    CHECK(d.docker.runtime == "runsc");
    CHECK(d.docker.engine == "unix:///e.sock");
    CHECK(d.reset_id == std::array<std::uint8_t, 2>{0, 0xff});
    CHECK(d.on_removed == OnRemoved::end);
    CHECK(d.limits.memory == 6u << 20);
    CHECK(d.limits.cpus == 0.5);
    CHECK(d.limits.tmp == 3072);
    CHECK(d.limits.log == 4096);

    const auto& f = settings.services.at(2);
    REQUIRE(f.upstream.upstreams.size() == 3);
    CHECK(f.upstream.upstreams[0].text() == "a:1");
    CHECK(f.upstream.upstreams[0].weight == 2);
    CHECK(f.upstream.upstreams[1].text() == "[::1]:2");
    CHECK(f.upstream.upstreams[1].weight == 1);
    CHECK(f.upstream.upstreams[2].text() == "unix:/etc/instancer/u");
    CHECK(f.upstream.balance == Balance::source_hash);
    CHECK(f.upstream.connect_timeout == 2s);
    CHECK(f.upstream.max_fails == 5);
    CHECK(f.upstream.fail_timeout == 1min);
    CHECK(f.session_idle == 1min);
    CHECK(f.half_close_timeout == 2min);
    CHECK(f.session_timeout == 3min);
    CHECK(f.traffic_log.format == TrafficLogFormat::hex);
    CHECK(f.traffic_log.limit == 2048);
    CHECK(f.record.directory == "/etc/instancer/r");
    CHECK(f.record.limit == 3u << 20);
    CHECK(f.record.total == std::uint64_t{4} << 30);

    CHECK(f.source_prefix == 48);
    CHECK(f.auth_timeout == 4s);
    REQUIRE(f.access.size() == 3);
    CHECK(f.access[0].allow);
    CHECK(f.access[0].network->to_string() == "10.0.0.0/8");
    CHECK_FALSE(f.access[0].schedule.holds_always());
    CHECK_FALSE(f.access[1].network);
    CHECK_FALSE(f.access[2].allow);
    CHECK(f.access_file == "/etc/instancer/rules");
    CHECK(f.time_zone == "UTC");
    CHECK(f.when_denied == WhenDenied::hold);
    CHECK(f.max_connections == 100);
    CHECK(f.max_per_source == 3);
    REQUIRE(f.accept_proxy.size() == 2);
    CHECK(f.accept_proxy[1]->to_string() == "::1");
    CHECK(f.needs_access_control());
    CHECK_FALSE(e.needs_access_control());
    CHECK(f.upstream.check.interval == 3s);
    CHECK(f.upstream.check.timeout == 700ms);
    CHECK(f.upstream.check.send == "GET / HTTP/1.0\r\n\r\n");
    CHECK(f.upstream.check.expect == " 200 ");
    CHECK(f.upstream.check.fall == 4);
    CHECK(f.upstream.check.rise == 6);
    CHECK(f.upstream.slow_start == 30s);
    CHECK(f.when_down == WhenDown::close_listener);
    CHECK(f.upstream.max_per_upstream == 9);
    CHECK(f.upstream.queue_size == 0);
    CHECK(f.upstream.queue_timeout == 8s);
    CHECK(f.upstream.send_proxy == ProxyVersion::v2);
    const auto& g = settings.services.at(3);
    CHECK(g.upstreams_file == "/etc/instancer/list");

    const auto& h = settings.services.at(4);
    CHECK(h.relay.auth_string == "a");
    CHECK(h.relay.auth_file == "/etc/instancer/b");
    CHECK(h.max_connections == 7);
    CHECK(h.relay.channels.max_members == 3);
    CHECK(h.relay.greeting.max_channel == 255);
    CHECK(h.relay.greeting.digit_pause == 1s);
    CHECK_FALSE(h.relay.greeting.ready);
    CHECK(h.relay.channels.echo);
    CHECK(h.relay.channels.slow == SlowMember::queue);
    CHECK(h.relay.channels.slow_timeout == 2s);
    CHECK(h.relay.channels.slow_queue == 3072);
    CHECK(h.relay.channels.alone == SentAlone::hold);
    CHECK(h.relay.channels.alone_limit == 4);
    CHECK(h.relay.channels.end == MemberEnd::stay);
    CHECK(h.relay.control->text() == ":6");
    CHECK(h.relay.verbosity == 4);
    const auto& i = settings.services.at(5);
    CHECK(i.tunnel.agents_listen().text() == ":8");
    CHECK(i.tunnel.routing_file == "/etc/instancer/routes");
    REQUIRE(i.tunnel.routes.size() == 1);
    CHECK(i.tunnel.routes[0].listen.text() == ":5");
    CHECK(i.tunnel.routes[0].target.to_string() == "10.0.0.1:80");
    CHECK(i.tunnel.config_file == "/etc/instancer/c");
    CHECK(i.tunnel.database == "/etc/instancer/u");
    CHECK(i.tunnel.any_user);
    CHECK(i.tunnel.agents.size() == 2);
    CHECK(i.tunnel.second_agent == SecondAgent::refused);
    CHECK(i.tunnel.agent_wait == 1s);
    CHECK(i.tunnel.control->text() == "unix:/etc/instancer/ctl");
    CHECK(i.tunnel.link.hold_back == 2ms);
    CHECK(i.tunnel.link.half_close_hold == 3s);
    CHECK(i.tunnel.link.session_buffer == 64u << 10);
    CHECK(i.tunnel.link.total_buffer == 128u << 10);
    CHECK(i.tunnel.link.stall_timeout == 4s);
    CHECK(i.needs_access_control());
    const auto& j = settings.services.at(6);
    CHECK(j.tunnel.peer->text() == "host:9");
    CHECK(j.tunnel.link.max_sessions == 8);
    REQUIRE(j.tunnel.targets.size() == 2);
    CHECK(j.tunnel.targets[0].holds(TunnelAddress(0x0a010203, 80)));
    CHECK_FALSE(j.tunnel.targets[0].holds(TunnelAddress(0x0a010203, 81)));
    CHECK_FALSE(j.tunnel.targets[0].holds(TunnelAddress(0x0b010203, 80)));
    CHECK(j.tunnel.targets[1].holds(TunnelAddress(0x0b010203, 81)));
    CHECK(j.tunnel.link.keep_alive == 5s);
    CHECK(j.tunnel.reconnect == 6s);
    CHECK(j.tunnel.connect_timeout == 7s);
    const auto& k = settings.services.at(7);
    CHECK(k.auth == Auth::prompt);
    CHECK(k.prompt == "who? ");
    CHECK(k.auth_timeout == 1min);
    const auto& crowded = settings.services.at(8);
    CHECK(crowded.source_prefix4 == 24);
    CHECK(crowded.pool.max_per_owner == 0);
    CHECK(settings.admin.token_file == "/etc/instancer/admin.token");
    CHECK(settings.admin.hosts == std::vector<std::string>{"admin.example.org"});
    CHECK(crowded.pool.warn_before == 2min);
    const auto& crowd = crowded.crowd;
    CHECK(crowd.connect_rate.count() == 10);
    CHECK(crowd.start_rate.span() == 1h);
    CHECK(crowd.ban_after.span() == 30s);
    CHECK(crowd.ban_for == 5min);
    CHECK(crowd.ban_exempt.size() == 2);
    CHECK(crowd.ban_file == "/etc/instancer/bans");
    CHECK(crowd.max_authenticating == 6);
    CHECK(crowd.tell);
    CHECK(crowd.texts.full == "no\r\nroom");
    CHECK(crowd.warning == "soon");
    const auto& signed_tokens = settings.services.at(9).authentication;
    CHECK(signed_tokens.keys == std::vector<std::string>{"/etc/instancer/k.pem", "/etc/instancer/shared"});
    CHECK(signed_tokens.menu);
    const auto& web = settings.services.at(10).authentication.web;
    CHECK(web.url == "https://a.example/whose");
    CHECK(web.timeout == 2s);
    CHECK(web.cache == 3min);
    CHECK(web.when_down == WhenUnreachable::cached);

    for (const auto& option : options()) {
        CAPTURE(option.name);
        if (option.scope == Scope::ctl)
            continue;
        // --port excludes --stdio, which is in use here; --verbose is what the original's command lines say.
        const bool used = option.name == "port" || option.name == "verbose" || settings.given.count(option.name) ||
                          std::any_of(settings.services.begin(), settings.services.end(),
                                      [&](const auto& service) { return service.has(option.name); });
        CHECK(used);
    }

    const auto& price = settings.services.at(11).proof;
    CHECK(price.price == 2s);
    CHECK(price.most == 20s);
    CHECK(price.of == ProofFor::connect);
    CHECK(price.style == ProofStyle::hxp);
    CHECK(price.timeout == 1min);
    CHECK(price.max_proving == 7);
    CHECK(price.bypass == "/etc/instancer/key.pem");

    const auto& flagged = settings.services.at(12);
    CHECK(flagged.pool.extension == 10min);
    CHECK(flagged.pool.max_extension == 30min);
    CHECK(flagged.pool.extension_window == 5min);
    CHECK(flagged.flags.text == "F{{hmac}}");
    CHECK(flagged.flags.key_file == "/etc/instancer/k");
    CHECK(flagged.flags.scope == FlagScope::instance);
    CHECK(flagged.flags.file == "/run/flag/flag");
    CHECK(flagged.flags.mode == 0440);
    CHECK(flagged.flags.owner == "1:2");
    CHECK(flagged.flags.log == "/etc/instancer/issued");
    CHECK(settings.services.at(13).oci.root == "/etc/instancer/files");
    CHECK(settings.services.at(14).oci.archive == "/etc/instancer/image.tar");
    CHECK(settings.services.at(14).oci.store == "/etc/instancer/images");
}

TEST_CASE("defaults are those that --help and the page on options print, and can be written")
{
    using Values = std::vector<std::string>;
    for (const auto mode :
         {Mode::exec, Mode::docker, Mode::oci, Mode::forward, Mode::tunnel_server, Mode::tunnel_agent}) {
        const ServiceSettings fresh("s", mode);
        for (const auto& option : options()) {
            const auto text = includes(option.scope, scope_of(mode)) ? option.print(View(Settings(), &fresh)) : "";
            const bool literal = option.type.shape == Shape::duration || option.type.shape == Shape::number ||
                                 option.type.shape == Shape::size || option.value().find('|') != option.value().npos;
            if (!literal || text.empty())
                continue;
            CAPTURE(option.name);
            // Applying the printed default to fresh settings must change nothing.
            Settings settings;
            ServiceSettings service("s", mode);
            REQUIRE(option.type.parse(Target(settings, &service), text));
            const auto describe = [](const ServiceSettings& s) {
                const auto n = [](auto value) { return std::to_string(static_cast<long long>(value)); };
                return Values{n(s.auth),
                              n(s.source_prefix),
                              n(s.auth_timeout.count()),
                              n(s.pool.max_instances),
                              n(s.pool.max_sessions_per_instance),
                              n(s.pool.when_full),
                              n(s.pool.queue_size),
                              n(s.pool.queue_timeout.count()),
                              n(s.pool.warm),
                              n(s.pool.ttl.count()),
                              n(s.pool.idle.count()),
                              n(s.pool.start_timeout.count()),
                              n(s.stop_grace.count()),
                              n(s.stderr_to),
                              n(s.io),
                              n(s.docker.pull),
                              n(s.limits.nofile),
                              n(s.unix_mode),
                              n(s.upstream.balance),
                              n(s.upstream.connect_timeout.count()),
                              n(s.upstream.max_fails),
                              n(s.upstream.fail_timeout.count()),
                              n(s.traffic_log.format),
                              n(s.traffic_log.limit),
                              n(s.record.limit),
                              n(s.record.total),
                              n(s.when_denied),
                              n(s.max_connections),
                              n(s.max_per_source),
                              n(s.upstream.check.interval.count()),
                              n(s.upstream.check.timeout.count()),
                              n(s.upstream.check.fall),
                              n(s.upstream.check.rise),
                              n(s.upstream.slow_start.count()),
                              n(s.when_down),
                              n(s.upstream.max_per_upstream),
                              n(s.upstream.queue_size),
                              n(s.upstream.queue_timeout.count()),
                              n(s.upstream.send_proxy.has_value()),
                              s.tunnel.control->text(),
                              n(s.tunnel.second_agent),
                              n(s.tunnel.agent_wait.count()),
                              n(s.tunnel.reconnect.count()),
                              n(s.tunnel.connect_timeout.count()),
                              n(s.tunnel.link.hold_back.count()),
                              n(s.tunnel.link.half_close_hold.count()),
                              n(s.tunnel.link.session_buffer),
                              n(s.tunnel.link.total_buffer),
                              n(s.tunnel.link.max_sessions),
                              n(s.tunnel.link.stall_timeout.count()),
                              n(s.tunnel.link.keep_alive.count())};
            };
            if (option.name != "drain-timeout")
                CHECK(describe(service) == describe(fresh));
        }
    }
    CHECK(Settings().drain_timeout == 30s);
    CHECK(ServiceSettings("s", Mode::exec).pool.max_starting == 2 * processors());
    CHECK(ServiceSettings("s", Mode::exec).limits.memory == 0);
    CHECK(ServiceSettings("s", Mode::exec).limits.pids == 0);
    const ServiceSettings docker("s", Mode::docker);
    CHECK(docker.limits.memory == 256u << 20);
    CHECK(docker.limits.cpus == 1);
    CHECK(docker.limits.pids == 64);
    CHECK(docker.limits.nofile == 1024);
    CHECK(docker.limits.tmp == 64u << 20);
    CHECK(docker.limits.log == 1u << 20);
    CHECK(docker.docker.engine == "unix:///var/run/docker.sock");
    const ServiceSettings oci("s", Mode::oci);
    CHECK(oci.limits.memory == 256u << 20);
    CHECK(oci.limits.tmp == 64u << 20);
    CHECK(oci.limits.log == 0);
}

TEST_CASE("a configuration that is well has no problems")
{
    CHECK(exec_problems("\"ttl\": \"20s\"").empty());
    CHECK(docker_problems("\"port\": 9000").empty());
}

TEST_CASE("the structure: what is missing, misplaced or unknown")
{
    CHECK(problems_of("[]") ==
          std::vector<std::string>{"c.json:1: $: is an array, not an object; write { \"services\": { ... } }"});
    CHECK(problems_of("{}").at(0).find("c.json:1: $: has no \"services\"") == 0);
    CHECK(problems_of("{\"services\": {}}").at(0).find("c.json:1: $.services: is empty") == 0);
    CHECK(problems_of("{\"services\": []}").at(0).find("$.services: is an array, not an object") != std::string::npos);
    CHECK(problems_of("{\"services\": {\"s\": 1}}").at(0).find("$.services.s: is a number") != std::string::npos);
    CHECK(problems_of("{\"services\": {\"a b\": {}}}").at(0).find("$.services[\"a b\"]: 'a b' is not a name") !=
          std::string::npos);
    CHECK(problems_of(service("")).at(0).find("c.json:1: $.services.s: has no \"mode\"") == 0);
    CHECK(problems_of(service("\"mode\": \"exe\"")).at(0).find("c.json:2: $.services.s.mode: 'exe' is no mode") == 0);
    CHECK(problems_of(service("\"mode\": 1")).at(0).find("$.services.s.mode: is a number") != std::string::npos);

    CHECK(problems_of("{\"ttl\": \"1s\",\n\"tread\": 1, \"servces\": {}}").size() == 4);
    for (const auto key : {"ttl", "mode", "limits"})
        CHECK(problems_of("{\"" + std::string(key) + "\": 1, \"services\": {}}").at(0) ==
              "c.json:1: $." + std::string(key) + ": belongs into a service; move it into $.services.NAME");
    CHECK(problems_of("{\"thread\": 1, \"services\": {}}").at(0).find("did you mean threads?") != std::string::npos);

    only(exec_problems("\"tll\": \"1s\""), "tll", "is unknown; did you mean ttl?");
    only(exec_problems("\"threads\": 2"), "threads", "move it to the top level");
    only(exec_problems("\"image\": \"x\""), "image", "works only in \"mode\": \"docker\"");
    only(docker_problems("\"io\": \"port\""), "io", "works only in \"mode\": \"exec\"");
    only(docker_problems("\"limit-memory\": \"64m\""), "limit-memory", "write \"limits\": { \"memory\": ... }");
    only(docker_problems("\"mount\": \"a:/b\""), "mount", "write \"mounts\": [ ... ]");
    only(docker_problems("\"limits\": {\"memry\": \"64m\"}"), "limits.memry", "did you mean memory?");
}

TEST_CASE("values of the wrong kind name the right one")
{
    only(exec_problems("\"ttl\": 20"), "ttl", "write \"20s\" for seconds");
    only(exec_problems("\"ttl\": true"), "ttl", "is true or false, not a string; write a duration");
    only(exec_problems("\"max-instances\": \"5\""), "max-instances", "write the number without quotes");
    only(exec_problems("\"max-instances\": -1"), "max-instances", "from 0 to");
    only(exec_problems("\"max-instances\": 1.5"), "max-instances", "from 0 to");
    only(exec_problems("\"pty\": \"true\""), "pty", "write true or false");
    only(exec_problems("\"pty\": \"rwa\""), "pty", "'rwa' is no kind of terminal; write echo, raw");
    CHECK(exec_problems("\"pty\": \"raw\"").empty());
    only(exec_problems("\"user\": 65534"), "user", "write it in quotes");
    only(exec_problems("\"env\": [\"A=b\"]"), "env", "write {\"NAME\": \"value\"}");
    only(exec_problems("\"env\": {\"A\": 1}"), "env.A", "put it in quotes");
    only(exec_problems("\"env\": {\"A=B\": \"c\"}"), "env[\"A=B\"]", "write one without =");
    only(exec_problems("\"env\": {\"A\": \"x\\u0000y\"}"), "env.A", "zero character");
    only(exec_problems("\"stderr\": \"lgo\""), "stderr", "is none of log, client, null; did you mean log?");
    only(exec_problems("\"when-full\": \"cull\""), "when-full", "refuse, queue, cull-oldest, cull-idle");
    only(exec_problems("\"limits\": {\"memory\": \"64mb\"}"), "limits.memory", "write 512k, 64m or 2g");
    only(exec_problems("\"stop-grace\": \"1h\""), "stop-grace", "longer than 10m");
    only(exec_problems("\"unix-mode\": \"rw\""), "unix-mode", "write 0600 or 0666");
    only(docker_problems("\"port\": 0"), "port", "from 1 to 65535");
    only(docker_problems("\"mounts\": [\"/etc/hostname:/h\", \"x\"]"), "mounts[1]", "write SOURCE:TARGET");
    only(docker_problems("\"mounts\": \"/etc/hostname:h\""), "mounts", "no absolute path");
    only(docker_problems("\"tmpfs\": [\"/run\"]"), "tmpfs[0]", "write PATH:SIZE");
    only(docker_problems("\"engine\": \"tcp://x\""), "engine", "no engine on this host");
    only(problems_of(service("\"mode\": \"exec\", \"listen\": \":1\",\n\"command\": \"/bin/cat\"")), "command",
         "write [\"PROGRAM\"");
    only(problems_of(service("\"mode\": \"exec\", \"command\": [\"/bin/cat\"],\n\"listen\": [\":1\", \"2\"]")),
         "listen[1]", "write :2");
}

TEST_CASE("all problems are reported at once, in the order of their lines")
{
    const auto problems = problems_of(R"({
  "log-level": "loud",
  "services": {
    "a": { "mode": "exec", "listen": ":1", "command": ["/nowhere/x"],
           "ttl": "soon",
           "ttl": "1s" },
    "b": { "mode": "docker", "listen": "127.0.0.1:1",
           "tmpfs": ["/tmp:1m"] }
  }
})");
    REQUIRE(problems.size() == 7);
    CHECK(problems[0].find("c.json:2: $.log-level: 'loud' is none of") == 0);
    CHECK(problems[1].find("c.json:4: $.services.a.command: /nowhere/x: No such file") == 0);
    CHECK(problems[2].find("c.json:5: $.services.a.ttl: 'soon' is not a duration") == 0);
    CHECK(problems[3].find("c.json:6: $.services.a.ttl: is there twice, first on line 5") == 0);
    CHECK(problems[4].find("c.json:7: $.services.b: has no image") == 0);
    CHECK(problems[5].find("c.json:7: $.services.b.listen: 127.0.0.1:1 is taken by :1 of service a") == 0);
    CHECK(problems[6].find("c.json:8: $.services.b.tmpfs: /tmp is one already") == 0);
}

TEST_CASE("a service without a mode is told of all that is wrong with it in any mode, unknown keys first")
{
    const auto problems = problems_of(R"({"services": { "s": {
"ttl": "soon", "command": [5],
"listne": ":1",
"limits": { "memroy": 1, "cpus": "x" },
"threads": 1,
"echo": true }}})");
    REQUIRE(problems.size() == 7);
    CHECK(problems[0] == "c.json:3: $.services.s.listne: is unknown; did you mean listen?");
    CHECK(problems[1] == "c.json:4: $.services.s.limits.memroy: is unknown; did you mean memory?");
    CHECK(problems[2].find("c.json:1: $.services.s: has no \"mode\"") == 0);
    CHECK(problems[3].find("c.json:2: $.services.s.ttl: 'soon' is not a duration") == 0);
    CHECK(problems[4].find("c.json:2: $.services.s.command[0]: is a number, not a string") == 0);
    CHECK(problems[5].find("c.json:4: $.services.s.limits.cpus: is a string, not a number") == 0);
    CHECK(problems[6].find("c.json:5: $.services.s.threads: is for the whole daemon") == 0);
}

TEST_CASE("what is wrong is said in a line that no terminal acts upon, and that can be read")
{
    const auto one = [](const std::string& text) {
        Problems problems;
        read_config("c.json", text, problems);
        REQUIRE(!problems.empty());
        return problems.front().format("c.json");
    };
    const std::string long_key(1'000'000, 'x');
    CHECK(one("{\"" + long_key + "\": 1, \"services\": {}}").size() < 1000);
    CHECK(one("{\"services\": {\"" + long_key + "\": {}}}").size() < 1000);
    CHECK(one("{\"services\": \"" + long_key).size() < 4000);
    CHECK(one("{\"services\": {\"s\": {\"mode\": \"" + long_key + "\"}}}").size() < 1000);
    for (const auto* hostile : {"\x1b[2J", "\xff\xfe", "\\u001b[2J", "\\u009b2J"}) {
        CAPTURE(hostile);
        const auto line = one("{\"" + std::string(hostile) + "\": 1, \"services\": {}}");
        CHECK(line.find('\x1b') == std::string::npos);
        CHECK(line.find('\xff') == std::string::npos);
        CHECK(line.find("\xc2\x9b") == std::string::npos);
        CHECK(line.find('\n') == std::string::npos);
    }
    std::string many = "{";
    for (int i = 0; i < 100'000; ++i)
        many += "\"k" + std::to_string(i) + "\": 1, ";
    CHECK(one(many + "\"k7\": 2}").find("$.k7: is there twice, first on line 1") != std::string::npos);
}
