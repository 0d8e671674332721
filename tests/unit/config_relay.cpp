// SPDX-License-Identifier: MIT
// How a relay is asked for: the short options of the original, the defaults, and what is wrong.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "config/command_line.hpp"
#include "config/config.hpp"
#include "config/validate.hpp"
#include "modes/relay/relay.hpp"
#include "modes/relay/relay_commands.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;

namespace {

Command parsed(const std::string& line) { return parse_command_line(split(line, ' ')); }

ServiceSettings relay_of(const std::string& line)
{
    const auto command = parsed(line);
    REQUIRE(command.kind == Command::Kind::serve);
    CHECK(command.problems.empty());
    CHECK(validate(command.settings).empty());
    return command.settings.services.front();
}

void says(const std::string& line, const std::string& part)
{
    const auto command = parsed(line);
    auto text = command.text;
    for (const auto& problem : command.problems)
        text += problem.format("") + "\n";
    for (const auto& problem : validate(command.settings))
        text += problem.format("") + "\n";
    INFO(line << " says: " << text);
    CHECK(text.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("relay: defaults are the original's")
{
    const auto service = relay_of("relay --auth-string hi");
    REQUIRE(service.listen.size() == 1);
    CHECK(service.listen.front().text() == ":1111");
    CHECK(service.auth_timeout == 5s);
    CHECK(service.relay.channels.max_members == 2);
    CHECK(service.max_connections == 0);
    CHECK(service.relay.greeting.max_channel == 65535);
    CHECK(service.relay.greeting.newline);
    CHECK(service.relay.greeting.ready);
    CHECK_FALSE(service.relay.channels.echo);
    CHECK(service.relay.channels.slow == SlowMember::wait);
    CHECK(service.relay.channels.alone == SentAlone::discard);
    CHECK_FALSE(service.relay.control);
    CHECK(service.relay.verbosity == 1);
}

TEST_CASE("relay: the original's short options, and ours")
{
    const auto service = relay_of("relay -e -d -p 2222 -vvv --auth-string x --max-connections 8 --max-pairs 255 "
                                  "--max-total 100 --slow disconnect --slow-timeout 3s --alone hold --alone-limit 1m "
                                  "--half-close stay --half-close-timeout 5s --dialect documentation --digit-pause 1s");
    CHECK(service.relay.channels.echo);
    CHECK(service.relay.control->text() == "127.0.0.1:32565");
    CHECK(service.listen.front().text() == ":2222");
    CHECK(service.listen.size() == 1);
    CHECK(service.relay.verbosity == 3);
    CHECK(service.relay.channels.max_members == 8);
    CHECK(service.max_connections == 100);
    CHECK(service.relay.greeting.max_channel == 255);
    CHECK(service.relay.channels.slow == SlowMember::disconnect);
    CHECK(service.relay.channels.slow_timeout == 3s);
    CHECK(service.relay.channels.alone == SentAlone::hold);
    CHECK(service.relay.channels.alone_limit == 1 << 20);
    CHECK(service.relay.channels.end == MemberEnd::stay);
    CHECK_FALSE(service.relay.greeting.newline);
    CHECK_FALSE(service.relay.greeting.ready);
    CHECK(service.relay.greeting.digit_pause == 1s);

    CHECK(parsed("relay --auth-string x -v").settings.log_level == LogLevel::info);
    CHECK(parsed("relay --auth-string x -vv").settings.log_level == LogLevel::debug);
    CHECK(parsed("relay --auth-string x --verbose 0").settings.log_level == LogLevel::warning);
    CHECK(parsed("relay --auth-string x -vv --log-level error").settings.log_level == LogLevel::error);
}

TEST_CASE("relay: what is wrong, and the remedy")
{
    says("relay", "has no authentication string; add --auth-file FILE or --auth-string TEXT");
    says("relay --auth-string a --auth-file b", "are two of one kind; remove one of them");
    says("relay --auth-file /nowhere", "/nowhere");
    says("relay --auth-string a -vvvvv", "--verbose");
    says("relay --auth-string a -p x", "--listen");
    says("relay --auth-string a -x", "unknown option -x");
    says("relay --auth-string a --max-connections 1", "has nobody to talk to in a channel of 1");
    says("relay --auth-string a --max-instances 1", "is for instances; the relay has channels");
    says("relay --auth-string a --slow-timeout 1s", "needs --slow disconnect");
    says("relay --auth-string a --slow-queue 1m", "needs --slow queue");
    says("relay --auth-string a --alone-limit 1m", "needs --alone hold");
    says("relay --auth-string a --alone hold --alone-limit 0", "of 0 holds nothing");
    says("relay --auth-string a --half-close-timeout 1s", "needs --half-close stay");
    says("relay --auth-string a --slow maybe", "'maybe' is none of wait, disconnect, queue");
    says("relay --auth-string a --control 127.0.0.1:1111", "is taken by :1111 of the same service; choose another");
    says("relay --auth-string a --max-total 5 --max-per-source 6", "is more than --max-total, 5");
    says("relay --auth-string a --image x", "works only with instancerd docker");
    says("relay --auth-string a -- /bin/cat", "is not run: the relay joins its clients");
    says("forward --listen :1 --to a:1 --echo", "works only with instancerd relay");
    says("relay --auth-string a --digit-pause 0", "must be longer than 0");
}

TEST_CASE("relay: in a configuration")
{
    Problems problems;
    const auto settings =
        read_config("/etc/c.json", R"({ "services": { "a": { "mode": "relay", "auth-file": "secret", "echo": true,
                            "control": "unix:control" }, "b": { "mode": "exec", "echo": true } } })",
                    problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems.front().text().find("works only in \"mode\": \"relay\"") != std::string::npos);
    CHECK(settings.services.front().relay.auth_file == "/etc/secret");
    CHECK(settings.services.front().relay.control->text() == "unix:/etc/control");
    CHECK(settings.services.front().listen.front().text() == ":1111");
}

TEST_CASE("relay: the authentication string is the file but for the end of its last line")
{
    const daemon_test::TemporaryDirectory directory;
    RelaySettings relay;
    const auto load = [&](const std::string& content) {
        relay.auth_file = directory.file("secret", content);
        const auto text = load_authentication(relay);
        return text ? *text : text.error().substr(text.error().rfind(':'));
    };
    CHECK(load("secret") == "secret");
    CHECK(load("secret\n") == "secret");
    CHECK(load("secret\r\n") == "secret");
    CHECK(load(" two\nlines\n\n") == " two\nlines\n");
    CHECK(load("\n") == ": is empty; write the authentication string into it");
}

TEST_CASE("relay: words of a command may be shortened")
{
    CHECK(complete_word("ex", {"echo", "exit"}) == "exit");
    CHECK(complete_word("exit", {"exit", "exits"}) == "exit");
    CHECK(complete_word("e", {"echo", "exit"}).error() == "'e' could be echo, exit; write more of it");
    CHECK(complete_word("", {"on", "off"}).error() == "'' could be on, off; write more of it");
    CHECK(complete_word("exti", {"echo", "exit"}).error() == "'exti' is none of echo, exit; did you mean exit?");
}
