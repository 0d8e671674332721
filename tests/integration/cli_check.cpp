// SPDX-License-Identifier: MIT
// What a user reads: help, complaints, exit codes.
#include <sstream>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <daemon.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;

namespace {

/// Runs instancerd until it ends by itself.
class Finished {
public:
    explicit Finished(const std::vector<std::string>& arguments, const std::string& directory = {})
    {
        Child child(instancerd(arguments), {}, -1, directory);
        code = child.wait().value_or(-1);
        output = child.whole_log();
    }

    bool says(const std::string& part) const { return output.find(part) != std::string::npos; }

    /// The output without the grades of isolation.
    std::string ungraded() const
    {
        std::istringstream lines(output);
        std::string rest;
        for (std::string line; std::getline(lines, line);)
            if (!line.starts_with("isolation: "))
                rest += line + "\n";
        return rest;
    }

    int code;
    std::string output;
};

}  // namespace

TEST_CASE("help and version go to standard output with exit code 0")
{
    const Finished version({"--version"});
    CHECK(version.code == 0);
    CHECK(version.output == "instancerd " PROJECT_VERSION "\n");
    for (const auto& arguments : {std::vector<std::string>{"--help"}, {"exec", "--help"}, {"docker", "--help"}}) {
        const Finished help(arguments);
        CHECK(help.code == 0);
        CHECK(help.says("--when-full refuse|queue|cull-oldest|cull-idle"));
        CHECK(help.says("[30s]"));
    }
}

TEST_CASE("a wrong command line ends with 2 and names the right one")
{
    const Finished nothing({});
    CHECK(nothing.code == 2);
    CHECK(nothing.says("instancerd exec   --listen ADDR"));
    const Finished unknown({"exec", "--listne", ":1", "--", "cat"});
    CHECK(unknown.code == 2);
    CHECK(unknown.output == "instancerd: unknown option --listne; did you mean --listen? See instancerd exec --help\n");
    const Finished impossible({"exec", "--listen", "127.0.0.1:0", "--ttl", "5", "--warm", "100", "--", "/bin/cat"});
    CHECK(impossible.code == 2);
    CHECK(impossible.says("instancerd: --ttl: '5' has no unit; write 5s for seconds, or ms, m, h\n"));
    CHECK(impossible.says("instancerd: --warm: is more than --max-instances, 64; lower it or raise that\n"));
}

TEST_CASE("check says what it checked when all is well")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", std::string(128, 't'));
    ::chmod(tokens.c_str(), 0600);
    directory.file("serve", "#!/bin/sh\n", true);
    const auto user = std::to_string(::geteuid()) + ":" + std::to_string(::getegid());
    const auto file = directory.file("c.json", R"({ // well
      "services": {
        "a": { "mode": "exec", "listen": ":1", "command": ["./serve"], "auth": "token", "tokens": "tokens.txt",
               "user": ")" + user + R"(" },
        "b": { "mode": "docker", "listen": ":2", "image": "no-such-image", "port": 9 }
      } })");
    const Finished check({"check", "--config", file});
    CHECK(check.code == 0);
    CHECK(check.ungraded() == "2 services, nothing wrong\n");
    // The path may be relative too.
    CHECK(Finished({"check", "--config", "c.json"}, directory.path()).code == 0);
}

TEST_CASE("check grades isolation; only with --strict is weak isolation wrong")
{
    const TemporaryDirectory directory;
    const auto config = directory.file("c.json", R"({"services": {
        "bad": {"mode": "exec", "listen": ":1", "command": ["/bin/cat"]},
        "good": {"mode": "docker", "listen": ":2", "image": "i", "auth": "source"},
        "other": {"mode": "forward", "listen": ":3", "to": "localhost:4"}}})");
    const Finished check({"check", "--config", config});
    CHECK(check.code == 0);
    CHECK(
        check.says("isolation: bad: weak: one instance can take all memory; add \"limits\": {\"memory\": \"256m\"}\n"));
    CHECK(check.says("isolation: good: strong\n"));
    CHECK_FALSE(check.says("isolation: other"));
    const Finished strict({"check", "--strict", "--config", config});
    CHECK(strict.code == 2);
    CHECK(strict.says("error: bad: weak: one instance can take all memory"));
    CHECK(strict.says("isolation: bad: fair: its programs reach the network"));
    CHECK(strict.says("3 services, "));
    CHECK(strict.says(" errors\n"));
}

TEST_CASE("check warns of a socket that anybody may connect to")
{
    const TemporaryDirectory directory;
    const auto file = directory.file(
        "c.json", R"({"services": {"a": {"mode": "forward", "listen": "unix:@open", "to": "unix:@back"}}})");
    const Finished check({"check", "--config", file});
    CHECK(check.code == 0);
    CHECK(check.output.starts_with("warning: a: unix:@open has no permissions: every user"));
}

TEST_CASE("check says all that is wrong, by line and path, and run refuses the same")
{
    const TemporaryDirectory directory;
    directory.file("tokens.txt", "secret-but-short\n");
    const auto file = directory.file("c.json", R"({
  "services": {
    "heap": { "mode": "exec", "listen": ":1",
              "command": ["cat"], "tll": "1s",
              "auth": "token", "tokens": "tokens.txt",
              "ttl": "forever" },
    "shell": { "mode": "docker", "listen": ":1", "image": "i", "mounts": ["/var/run:/run"] }
  }
})");
    for (const auto command : {"check", "run"}) {
        const Finished result({command, "--config", file});
        CHECK(result.code == 2);
        CHECK(result.output ==
              file + ":4: $.services.heap.tll: is unknown; did you mean ttl?\n" + file +
                  ":5: $.services.heap.tokens: " + directory.path("tokens.txt") +
                  ":1: has 16 characters; a token has 128, or is written hex: and 256 digits\n" + file +
                  ":6: $.services.heap.ttl: 'forever' is not a duration; write 300ms, 20s, 10m or 2h\n" + file +
                  ":7: $.services.shell.mounts: /var/run would give containers the Docker engine, and with it the "
                  "host; mount something smaller\n" +
                  file + ":7: $.services.shell.listen: :1 is taken by :1 of service heap; choose another\n");
    }
}

TEST_CASE("a log that is a pipe which nobody reads holds up no start")
{
    const TemporaryDirectory directory;
    const auto pipe = directory.path("log");
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const Finished start({"exec", "--listen", "127.0.0.1:0", "--log", pipe, "--", "/bin/cat"});
    CHECK(start.code == 1);
    CHECK(start.says(pipe + " cannot be opened for the log: it is a pipe that nobody reads"));
}

TEST_CASE("what is no JSON is named by its line")
{
    const TemporaryDirectory directory;
    const auto file = directory.file("c.json", "{\n  \"services\": {\n    \"a\": { \"mode\": \"exec\", }\n  }\n}\n");
    const Finished check({"check", "--config", file});
    CHECK(check.code == 2);
    CHECK(check.says(file + ":3: $.services.a: not JSON: "));
    CHECK(check.says("remove the comma before it"));
    const Finished missing({"check", "--config", directory.path("none.json")});
    CHECK(missing.code == 2);
    CHECK(missing.says("cannot read " + directory.path("none.json")));
}

TEST_CASE("a daemon that starts programs as root says so in its log" * doctest::skip(::geteuid() != 0))
{
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--", "/bin/cat"});
    CHECK(daemon.wait_for_line("warning exec: its programs run as root").find("add --user nobody") !=
          std::string::npos);
}

TEST_CASE("secrets that everybody can read are warned of by name, and not shown")
{
    const TemporaryDirectory directory;
    const auto user = std::to_string(::geteuid()) + ":" + std::to_string(::getegid());
    const auto tokens = directory.file("tokens.txt", std::string(128, 't'));
    const auto file = directory.file("c.json", R"({ "services": {
      "a": { "mode": "exec", "listen": ":1", "command": ["/bin/cat"], "user": ")" +
                                                   user + R"(",
             "auth": "token", "tokens": "tokens.txt", "env": { "FLAG": "flag{1}", "KEY": "k3y" } } } })");
    const auto checked = [&](const char* mode) {
        for (const auto& path : {tokens, file})
            ::chmod(path.c_str(), static_cast<mode_t>(std::stoul(mode, nullptr, 8)));
        return Finished({"check", "--config", file}).ungraded();
    };
    CHECK(checked("0644") == "warning: a: every user of this machine can read " + tokens +
                                 "; chmod o-r it\nwarning: a: every user of this machine can read " + file +
                                 ", and in it the values of FLAG, KEY; chmod o-r it if one of them is a secret\n"
                                 "1 service, 2 warnings\n");
    CHECK(checked("0600") == "1 service, nothing wrong\n");
}

TEST_CASE("programs that would run as root are warned of, unless that is asked for" * doctest::skip(::geteuid() != 0))
{
    const TemporaryDirectory directory;
    const auto check = [&](const std::string& user) {
        return Finished(
            {"check", "--config",
             directory.file("c.json", R"({ "services": { "s": { "mode": "exec", "listen": "127.0.0.1:1", )" + user +
                                          R"("command": ["/bin/cat"] } } })")});
    };
    const auto warned = check("");
    CHECK(warned.code == 0);
    CHECK(warned.says("s: its programs run as root"));
    CHECK(warned.says(R"(add "user": "nobody", or "user": "root" if that is meant)"));
    for (const std::string user : {"root", "nobody"}) {
        const auto silent = check("\"user\": \"" + user + "\", ");
        CHECK(silent.code == 0);
        CHECK(silent.ungraded() == "1 service, nothing wrong\n");
    }
}
