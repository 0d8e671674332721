// SPDX-License-Identifier: MIT
// What the tables of options and commands promise, row by row.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "config/command_line.hpp"
#include "config/config.hpp"
#include "config_problems.hpp"
#include "modes/modes.hpp"
#include "options/commands.hpp"
#include "options/options.hpp"
#include "options/schema.hpp"

using namespace instancer::daemon;

namespace {

std::vector<std::string> words(const std::string& line) { return split(line, ' '); }

std::string complaint(const std::string& line) { return config_test::complaint(words(line)); }

bool says(const std::string& line, const std::string& part) { return test_text::holds(complaint(line), part); }

using Json = nlohmann::json;

/// What the schema says of an option.
const Json& rule_of(const Json& object, const Option& option)
{
    const auto path = split(option.config_key(), '.');
    const auto* rule = &object;
    for (const auto& key : path)
        rule = &rule->at("properties").at(key);
    return *rule;
}

bool is_of_type(const std::string& type, const Json& value)
{
    return type == "string"    ? value.is_string()
           : type == "boolean" ? value.is_boolean()
           : type == "integer" ? value.is_number_integer()
           : type == "number"  ? value.is_number()
           : type == "array"   ? value.is_array()
                               : value.is_object();
}

/// As a validator of JSON schemas decides, as far as ours go.
bool accepts(const Json& rule, const Json& value)
{
    if (rule.contains("anyOf"))
        return std::any_of(rule["anyOf"].begin(), rule["anyOf"].end(),
                           [&](const auto& one) { return accepts(one, value); });
    if (rule.contains("const"))
        return rule["const"] == value;
    if (rule.contains("enum"))
        return std::find(rule["enum"].begin(), rule["enum"].end(), value) != rule["enum"].end();
    if (!is_of_type(rule.at("type"), value))
        return false;
    if (rule.contains("minimum") && (value < rule["minimum"] || value > rule["maximum"]))
        return false;
    return !rule.contains("pattern") ||
           std::regex_search(value.get<std::string>(), std::regex(rule["pattern"].get<std::string>()));
}

/// Formats of texts and lists, the longest duration, and the least size in a text are for the reader alone.
bool is_for_both(const Option& option, const Json& value)
{
    switch (option.type.shape) {
    case Shape::text: return !value.is_string() || !option.type.choices.empty();
    case Shape::list: return !value.is_string() && !value.empty();
    case Shape::duration: return value != "64m";
    case Shape::size: return value != "5";
    default: return true;
    }
}

/// The value below the key of the option, which may be a path.
Json at_key(const Option& option, Json value)
{
    auto path = split(option.config_key(), '.');
    for (auto key = path.rbegin(); key != path.rend(); ++key)
        value = Json{{*key, std::move(value)}};
    return value;
}

/// Whether a configuration is read without a complaint.
bool reads(const Json& configuration)
{
    Problems problems;
    read_config("/c.json", configuration.dump(), problems);
    return problems.empty();
}

bool is_read(const ModeEntry& mode, const Option& option, const Json& value)
{
    auto service = at_key(option, value);
    service["mode"] = mode.name;
    return reads({{"services", {{"s", service}}}});
}

bool is_read_at_top(const Option& option, const Json& value)
{
    auto root = at_key(option, value);
    root["services"] = {{"s", {{"mode", "exec"}}}};
    return reads(root);
}

const Option& option_of(std::string_view name, Scope scope = Scope::anywhere)
{
    const auto* option = find_option(name, scope);
    REQUIRE(option);
    return *option;
}

}  // namespace

TEST_CASE("a default that is shown is one that can be written")
{
    for (const auto* mode : all_modes())
        for (const auto& option : options()) {
            const bool is_switch = option.type.shape == Shape::flag || option.type.shape == Shape::variant;
            if (is_switch || !includes(option.scope, scope_of(mode->mode)))
                continue;
            Settings settings;
            ServiceSettings service("s", mode->mode);
            const auto shown = option.print(View(settings, &service));
            if (shown.empty())
                continue;
            CAPTURE(mode->name);
            CAPTURE(option.name);
            CAPTURE(shown);
            CHECK(option.type.parse(Target(settings, &service), shown));
            CHECK(option.print(View(settings, &service)) == shown);
        }
}

TEST_CASE("defaults come from the settings themselves, with what modes have instead")
{
    CHECK(option_of("start-timeout").default_value() == "30s");
    CHECK(option_of("prompt").default_value() == "'token: '");
    CHECK(option_of("max-connections").default_value() == "0; relay: 2");
    CHECK(option_of("limit-memory").default_value() == "0; docker: 256m; oci: 256m");
    CHECK(option_of("max-sessions").default_value() == "0; tunnel-agent: 1000");
    CHECK(option_of("log-level").default_value() == "info");
    CHECK(option_of("tokens").default_value() == "-");
}

TEST_CASE("a default that is told in words is the one that holds")
{
    const std::string exec = "exec --listen :1", program = " -- /bin/cat", image = "docker --listen :1 --image i",
                      relay = "relay --auth-string s", server = "tunnel server --any-user",
                      agent = "tunnel agent -p a:1";
    const auto cores = std::to_string(processors());
    // The option, a command line, what holds then, and the words for it.
    const std::vector<std::array<std::string, 4>> rows = {
        {"unix-owner", exec + program, "", "the daemon's own"},
        {"unix-group", exec + program, "", "the daemon's own"},
        {"time-zone", exec + program, "", "the system's"},
        {"max-unadmitted", exec + program, "", "a quarter of the descriptors"},
        {"auth-timeout", exec + " --auth token" + program, "10s", "10s"},
        {"auth-timeout", exec + " --auth prompt" + program, "1m", "where a line is typed: 1m"},
        {"auth-timeout", relay, "5s", "relay: 5s"},
        {"max-per-owner", exec + " --auth source" + program, "4", "4"},
        {"max-per-owner", exec + program, "0", "with open: no limit"},
        {"max-starting", exec + program, std::to_string(2 * processors()), "twice the cores"},
        {"idle", exec + program, "10m", "10m"},
        {"idle", exec + " --io socket" + program, "0", "with io socket: no limit"},
        {"linger", exec + program, "0", "0 with open"},
        {"linger", exec + " --auth source" + program, "5m", "else 5m"},
        {"stderr", exec + program, "log", "log"},
        {"stderr", exec + " --pty" + program, "client", "with pty: client"},
        {"client-env", exec + program, "on", "on"},
        {"client-env", exec + " --warm 1" + program, "off", "off with warm"},
        {"user", exec + program, "", "the daemon's own"},
        {"name", exec + program, "", "made from the machine"},
        {"init", exec + program, "", "looked for beside instancerd"},
        {"threads", exec + program, cores, "number of cores"},
        {"log", exec + program, "", "standard error"},
        {"flag-owner", exec + program, "", "the instance's user"},
        {"ports", exec + program, "", "any free port"},
        {"workdir", exec + program, "", "the current directory"},
        {"port", image, "", "the only one that the image exposes"},
        {"runtime", image, "", "the engine's own"},
        {"seccomp", image, "", "a filter that allows what most programs need"},
        {"engine", image, "unix:///var/run/docker.sock", "else unix:///var/run/docker.sock"},
        {"check-expect", "forward --listen :1 --to a:1", "", "to connect is enough"},
        {"proxy", server, "", "server: 0.0.0.0:8443"},
        {"targets", agent, "", "all"},
        {"verbose", agent, "", "20"},
    };
    ::unsetenv("DOCKER_HOST");
    std::set<std::string_view> told;
    for (const auto& [name, line, value, in_words] : rows) {
        CAPTURE(name);
        CAPTURE(line);
        const auto command = parse_command_line(words(line));
        REQUIRE(command.settings.services.size() == 1);
        const auto& service = command.settings.services.front();
        const auto* option = find_option(name, scope_of(service.mode));
        option = option ? option : find_option(name, Scope::daemon);
        REQUIRE(option);
        CHECK(option->print(View(command.settings, &service)) == value);
        CHECK(option->fallback.find(in_words) != std::string_view::npos);
        told.insert(option->name);
    }
    for (const auto& option : options())
        if (!option.fallback.empty()) {
            CAPTURE(option.name);
            CHECK(told.contains(option.name));
        }
    CHECK(Settings().log_level == parse_verbosity("20")->level);
    CHECK(TunnelSettings().agents_listen().text() == "0.0.0.0:8443");
}

TEST_CASE("a default that depends on other options is told in words")
{
    const std::vector<std::pair<std::string, std::string>> levers = {
        {"auth", "source"}, {"auth", "token"}, {"auth", "prompt"}, {"io", "socket"},
        {"io", "port"},     {"pty", "true"},   {"warm", "1"},      {"stdio", "true"}};
    for (const auto* mode : all_modes())
        for (const auto& [name, value] : levers) {
            const Settings settings;
            Settings target;
            ServiceSettings service("s", mode->mode);
            if (const auto* lever = find_option(name, scope_of(mode->mode))) {
                REQUIRE(lever->type.parse(Target(target, &service), value));
                service.given.emplace(name, Place());
            }
            const auto before = service;
            service.complete();
            for (const auto& option : options()) {
                if (!includes(option.scope, scope_of(mode->mode)) || !option.fallback.empty())
                    continue;
                CAPTURE(mode->name);
                CAPTURE(name);
                CAPTURE(option.name);
                CHECK(option.print(View(settings, &service)) == option.print(View(settings, &before)));
            }
        }
}

TEST_CASE("every choice of a row is taken, and shown again; a wrong one is told the right ones")
{
    for (const auto* mode : all_modes())
        for (const auto& option : options()) {
            if (!includes(option.scope, scope_of(mode->mode)))
                continue;
            CAPTURE(option.name);
            for (const auto choice : option.type.choices) {
                Settings settings;
                ServiceSettings service("s", mode->mode);
                CHECK(option.type.parse(Target(settings, &service), std::string(choice)));
                CHECK(option.print(View(settings, &service)) == choice);
            }
        }
    says("exec --listen :1 --when-full cul-idle -- /bin/cat",
         "--when-full: 'cul-idle' is none of refuse, queue, cull-oldest, cull-idle; did you mean cull-idle?");
}

TEST_CASE("secrets are not shown")
{
    Settings settings;
    ServiceSettings service("s", Mode::relay);
    const auto& option = option_of("auth-string");
    REQUIRE(option.type.parse(Target(settings, &service), "hunter2"));
    CHECK(service.relay.auth_string == "hunter2");
    CHECK(option.print(View(settings, &service)).empty());
    CHECK(option_of("env").traits.secret);
}

TEST_CASE("what names a file that SIGHUP reads again says so")
{
    for (const auto* name : {"tokens", "access-file", "to-file", "auth-file", "config"}) {
        CAPTURE(name);
        CHECK(option_of(name).description().find("; read again on SIGHUP") != std::string::npos);
    }
    CHECK(option_of("routing").description().find("SIGHUP") == std::string::npos);
    Settings settings;
    ServiceSettings service("s", Mode::exec);
    service.tokens = "/t";
    service.access_file = "/a";
    CHECK(files_of(settings, service) == std::vector<std::string>{"/a", "/t"});
}

TEST_CASE("whatever an option names in its row exists, and can be what it is asked to be")
{
    const auto exists = [](const Condition& condition) {
        if (condition.option.empty())
            return true;
        const auto* option = find_option(condition.option);
        const auto choices = option ? option->type.choices : std::span<const std::string_view>();
        const bool is_choice = std::find(choices.begin(), choices.end(), condition.value) != choices.end();
        return option && (condition.value.empty() || is_choice);
    };
    for (const auto& option : options()) {
        CAPTURE(option.name);
        for (const auto& condition : option.traits.needs.any_of)
            CHECK(exists(condition));
        for (const auto& condition : option.traits.needs.or_else)
            CHECK(exists(condition));
        CHECK(exists(option.traits.conflict.with));
        CHECK(exists(option.traits.conflict.instead));
    }
}

TEST_CASE("an option of other modes is told all of them")
{
    says("forward --listen :1 --to a:1 --image x", "--image works only with instancerd docker; remove it");
    says("forward --listen :1 --to a:1 --ttl 1s", "--ttl works only with instancerd exec, docker or oci");
    says("exec --listen :1 --second-agent refused -- /bin/cat", "works only with instancerd tunnel server");
    says("tunnel agent -p a:1 --control :2", "--control works only with instancerd relay or tunnel server");
    says("exec --listen :1 --config c -- /bin/cat", "--config works only with instancerd tunnel server, run, check, "
                                                    "owners, flag check or oci prune; remove it or use that");
    Problems problems;
    read_config("/c.json", R"({"services": {"s": {"mode": "forward", "listen": ":1", "to": "a:1", "ttl": "1s"}}})",
                problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].text() ==
          "works only in \"mode\": \"exec\", \"docker\" or \"oci\"; remove it or change the mode");
}

TEST_CASE("limits too small to start anything are refused with the least that works")
{
    says("exec --listen :1 --limit-memory 100 -- /bin/cat", "--limit-memory: '100' is too little to work; write 256k");
    says("docker --listen :1 --image i --limit-memory 1m", "write 6m or more, or 0");
    says("docker --listen :1 --image i --limit-cpus 0.0001", "write 0.01 or more, or 0");
    CHECK(complaint("exec --listen :1 --limit-memory 0 -- /bin/cat").empty());
}

TEST_CASE("a service that would pass connections on to itself is refused")
{
    for (const std::string loop :
         {"--listen 127.0.0.1:80 --to 127.0.0.1:80", "--listen :80 --to localhost:80", "--listen :80 --to [::1]:80",
          "--listen 0.0.0.0:80 --to a:1,127.1.2.3:80=2", "--listen unix:/tmp/s --to unix:/tmp/s"})
        says("forward " + loop, "is this service itself");
    for (const std::string fine : {"--listen 127.0.0.1:80 --to 127.0.0.2:80", "--listen :80 --to 10.0.0.1:80",
                                   "--listen 0.0.0.0:80 --to [::1]:80", "--listen :80 --to localhost:81"})
        CHECK(complaint("forward " + fine).empty());
}

TEST_CASE("what needs nothing asks for nothing")
{
    // 0 is no limit, so there is nothing that it needs.
    CHECK(complaint("exec --listen :1 --max-per-owner 0 -- /bin/cat").empty());
    says("exec --listen :1 --max-per-owner 1 -- /bin/cat",
         "needs clients that can be told apart; add --auth source, --auth prompt or --auth token, or remove this");
    says("tunnel server --verbose 10 --log-level info", "--verbose: cannot work together with --log-level");
}

TEST_CASE("every command shows its form and its examples, and they are right")
{
    const auto usage = parse_command_line({"--help"}).text;
    for (const auto& command : commands()) {
        CAPTURE(command.words);
        CHECK_FALSE(command.purpose.empty());
        if (!command.is_part)
            CHECK(usage.find(command.forms.front()) != std::string::npos);
        if (command.reads_configuration())
            continue;
        auto arguments = words(std::string(command.words));
        arguments.push_back("--help");
        const auto help = parse_command_line(arguments).text;
        CHECK(help.find("Usage: instancerd " + std::string(command.words) + " ") == 0);
        for (const auto example : command.examples)
            if (!example.empty())
                CHECK(help.find("  instancerd " + std::string(example) + "\n") != std::string::npos);
    }
}

TEST_CASE("the schema has every key of every mode, with its choices")
{
    const auto schema = nlohmann::json::parse(json_schema());
    for (const auto* mode : all_modes()) {
        const auto& service = schema.at("$defs").at(std::string(mode->name));
        CHECK(service.at("additionalProperties") == false);
        for (const auto& option : options()) {
            if (!includes(option.scope, scope_of(mode->mode)) || option.traits.no_key)
                continue;
            CAPTURE(option.name);
            const auto path = split(option.config_key(), '.');
            const auto* value = &service.at("properties").at(path.front());
            if (path.size() == 2)
                value = &value->at("properties").at(path.back());
            CHECK(value->at("description") == option.description());
            CHECK(value->contains("writeOnly") == option.traits.secret);
            if (option.type.shape == Shape::text && !option.type.choices.empty())
                CHECK(value->at("enum") == nlohmann::json(option.type.choices));
        }
    }
    for (const auto& option : options())
        CHECK(schema.at("properties").contains(std::string(option.config_key())) ==
              includes(option.scope, Scope::daemon));
}

TEST_CASE("the schema accepts the values that are read, and no others")
{
    const auto values = Json::parse(R"([null, true, false, [], {}, 0, 1, 2, -1, 0.5, 1.5, 0.001, 8388608, 1000000000000,
        "true", "off", "on", "echo", "raw", "0", "5", "-5", "0s", "1ms", "5ms", "-5ms", "1.5s", "5us", "5 ms",
        "64m", "0k", "1.5m", "-1k", "64M", "64mb"])");
    const auto schema = Json::parse(json_schema());
    for (const auto* mode : all_modes())
        for (const auto& option : options()) {
            if (!includes(option.scope, scope_of(mode->mode)) || option.traits.no_key)
                continue;
            CAPTURE(mode->name);
            CAPTURE(option.name);
            for (const auto& value : values) {
                if (!is_for_both(option, value))
                    continue;
                CAPTURE(value.dump());
                CHECK(accepts(rule_of(schema.at("$defs").at(std::string(mode->name)), option), value) ==
                      is_read(*mode, option, value));
            }
        }
    for (const auto& option : options())
        if (includes(option.scope, Scope::daemon))
            for (const auto& value : values) {
                if (!is_for_both(option, value))
                    continue;
                CAPTURE(option.name);
                CAPTURE(value.dump());
                CHECK(accepts(rule_of(schema, option), value) == is_read_at_top(option, value));
            }
}

TEST_CASE("a configuration may name its schema")
{
    Problems problems;
    read_config("/c.json",
                R"({"$schema": "s.json", "services": {"s": {"mode": "forward", "listen": ":1", "to": "a:1"}}})",
                problems);
    CHECK(problems.empty());
}
