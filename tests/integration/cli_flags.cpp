// SPDX-License-Identifier: MIT
// Flags of processes, from the command line to the client, and back from a flag to its owner.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/identity.hpp>

#include <daemon.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using instancer::Identity;

namespace {

using Words = std::vector<std::string>;

std::string content(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The first block of that language on a page.
std::string block_of_page(const std::string& language, const std::string& name = "flags")
{
    const auto page = content(test_paths::sources + "/apps/instancerd/doc/" + name + ".md");
    const auto mark = "```" + language + "\n";
    const auto begin = page.find(mark) + mark.size();
    return page.substr(begin, page.find("```", begin) - begin);
}

/// The standard output of a program that succeeds.
std::string output_of(const Words& command)
{
    Child child(command);
    CHECK(child.wait() == 0);
    return child.whole_log();
}

/// A key, and the tokens of two teams.
class Event : public TemporaryDirectory {
public:
    Event()
    {
        for (const auto& path : {key, tokens})
            ::chmod(path.c_str(), 0600);
    }

    Words exec(const Words& options, const Words& command) const
    {
        Words words = {"exec",     "--listen", "127.0.0.1:0", "--auth",     "prompt",
                       "--tokens", tokens,     "--flag-log",  path("flags")};
        words.insert(words.end(), options.begin(), options.end());
        words.emplace_back("--");
        words.insert(words.end(), command.begin(), command.end());
        return words;
    }

    /// With flags that depend on the team alone.
    Words exec_with_flags(const Words& options, const Words& command) const
    {
        Words words = {"--flag", "FLAG{{hmac:32}}", "--flag-key", key};
        words.insert(words.end(), options.begin(), options.end());
        return exec(words, command);
    }

    /// What the page tells a platform to calculate.
    std::string expected(const std::string& token) const
    {
        auto line = output_of({"python3", "-c", block_of_page("python"), std::string(32, 'k'), "exec", token});
        CHECK(line.ends_with("\n"));
        line.pop_back();
        return line;
    }

    const std::string key = file("flag.key", std::string(32, 'k') + "\n");
    const std::string tokens = file("teams.txt", "red\nblue\n");
};

/// What the instance of a team answers to a line.
std::string ask(const Daemon& daemon, const std::string& token, const std::string& line = "flag")
{
    RawClient client(daemon.port());
    client.send(token + "\n" + line + "\n");
    const auto answer = client.receive_line();
    const auto prompt = answer.find("token: ");
    return prompt == answer.npos ? answer : answer.substr(prompt + 7);
}

}  // namespace

TEST_CASE("flags: each team has its own in the environment, the one that the page calculates")
{
    const Event event;
    const Daemon daemon(event.exec_with_flags({}, {"/bin/sh", "-c", "read line; echo $FLAG"}));
    const auto red = event.expected("red"), blue = event.expected("blue");
    CHECK(red != blue);
    CHECK(ask(daemon, "red") == red);
    CHECK(ask(daemon, "blue") == blue);
    CHECK(ask(daemon, "red") == red);

    const auto owner = Identity("exec", "red", {}).owner().hex();
    const auto digits = output_of(
        {"/bin/sh", "-c", "cd '" + event.path() + "'; service=exec owner=" + owner + "\n" + block_of_page("sh")});
    CHECK(red == "FLAG{" + digits.substr(0, 32) + "}");
}

TEST_CASE("flags: a file holds it, also where the instance was warm")
{
    const Event event;
    Words options = {"--flag-file", "{dir}/flag", "--io", "port", "--linger", "1m"};
    SUBCASE("started for its client") {}
    SUBCASE("warm") { options.insert(options.end(), {"--warm", "1"}); }
    const std::string server = R"(
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    client.recv(100)
    with open(sys.argv[2]) as flag:
        client.sendall(b'%o %s' % (os.stat(sys.argv[2]).st_mode & 0o7777, flag.read().encode()))
    client.close()
)";
    const Daemon daemon(event.exec_with_flags(options, {"/usr/bin/python3", "-c", server, "{port}", "{dir}/flag"}));
    CHECK(ask(daemon, "red") == "400 " + event.expected("red"));
    CHECK(ask(daemon, "blue") == "400 " + event.expected("blue"));
}

TEST_CASE("flags: a file of root's is one that the instance's user cannot read" * doctest::skip(::geteuid() != 0))
{
    const Event event;
    const auto script = "read line; cat \"$0\" || stat -c '%u:%g %a' \"$0\"";
    const Daemon daemon(event.exec_with_flags(
        {"--flag-file", "{dir}/flag", "--user", "70000-70003", "--flag-owner", "0:0", "--stderr", "null"},
        {"/bin/sh", "-c", script, "{dir}/flag"}));
    CHECK(ask(daemon, "red") == "0:0 400");
}

TEST_CASE("flags: an instance whose flag cannot be noted serves nobody")
{
    const Event event;
    const Daemon daemon(event.exec_with_flags({}, {"/bin/cat"}));
    std::filesystem::create_directory(event.path("flags"));
    CHECK(ask(daemon, "red") != "flag");
    CHECK(daemon.wait_for_line("the flag cannot be written to " + event.path("flags")) != "");
}

TEST_CASE("flag check says whose flags are, and nothing of them is in the log of the daemon")
{
    const Event event;
    std::string red;
    {
        const Daemon daemon(event.exec({"--flag", "F{{random:16}}"}, {"/bin/sh", "-c", "read line; echo $FLAG"}));
        red = ask(daemon, "red");
        REQUIRE(red.size() == 19);
        CHECK(daemon.log().find(red) == std::string::npos);
    }
    const auto config = event.file("event.json", R"({"services": {"exec": {
        "mode": "exec", "listen": ":1", "command": ["/bin/cat"], "auth": "prompt", "tokens": "teams.txt",
        "flag": "F{{random:16}}", "flag-log": "flags"}}})");
    const auto check = [&](const std::string& flags) {
        return Child(
            {"/bin/sh", "-c",
             "printf '" + flags + "' | '" + test_paths::instancerd + "' flag check --config '" + config + "'"});
    };
    auto known = check(red + "\\n");
    CHECK(known.wait() == 0);
    CHECK(known.whole_log() == red + "\texec\t" + Identity("exec", "red", {}).owner().hex() + "\t\n");
    auto guessed = check(red + "\\nF{guess}\\n");
    CHECK(guessed.wait() == 1);
    CHECK(guessed.whole_log().ends_with("\nF{guess}\tnobody's\n"));
    event.file("event.json", R"({"services": {"s": {"mode": "exec", "listen": ":1", "command": ["/bin/cat"]}}})");
    auto none = check("");
    CHECK(none.wait() == 2);
    CHECK(none.whole_log().find("no service has flags") != std::string::npos);
}

TEST_CASE("the configuration for organisers is right, and weakly isolated in nothing" * doctest::skip(::geteuid() != 0))
{
    const Event event;
    event.file("notes", "#!/bin/sh\n", true);
    const auto config = event.file("event.json", block_of_page("json", "events"));
    Child check(instancerd({"check", "--strict", "--config", config}), {"DOCKER_HOST="});
    CHECK(check.wait() == 0);
    CHECK(check.whole_log().find("isolation: heap: strong\n2 services, nothing wrong\n") != std::string::npos);
}
