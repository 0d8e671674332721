// SPDX-License-Identifier: MIT
// Clients that say nothing, clients that close for good, and clients whose tokens are taken away.
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

using Words = std::vector<std::string>;

/// An instancerd that asks for a token of `tokens` and echoes.
Words asking(const std::string& tokens, const Words& options = {})
{
    Words words = {"exec", "--listen", "127.0.0.1:0", "--auth", "prompt", "--tokens", tokens};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// Whether the client is asked for its token and then served.
bool is_served(RawClient& client, const std::string& token)
{
    return client.receive(7) == "token: " && client.send(token + "\necho") && client.receive(4) == "echo";
}

/// In how many seconds the system asks the client of the daemon whether it is still there; -1 if it never does.
long seconds_to_probe(const Daemon& daemon, const RawClient& client)
{
    std::ifstream connections("/proc/net/tcp");
    for (std::string line; std::getline(connections, line);) {
        unsigned local = 0, remote = 0, timer = 0;
        unsigned long due = 0;
        if (std::sscanf(line.c_str(), " %*u: %*x:%x %*x:%x %*x %*x:%*x %x:%lx", &local, &remote, &timer, &due) == 4 &&
            local == daemon.port() && remote == client.local_port())
            return timer == 2 ? static_cast<long>(due) / ::sysconf(_SC_CLK_TCK) : -1;
    }
    return -1;
}

}  // namespace

TEST_CASE("unadmitted: clients that say nothing do not take the descriptors of those who are known")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "secret\n");
    Words command = {"/bin/sh", "-c", "ulimit -n 300; exec \"$@\"", "sh"};
    for (const auto& word : instancerd(asking(tokens)))
        command.push_back(word);
    Daemon daemon(command, {}, -1);
    std::vector<RawClient> silent;
    silent.emplace_back(daemon.port(), "127.0.0.2");
    CHECK(silent.front().receive(7) == "token: ");
    while (silent.size() < 400)
        silent.emplace_back(daemon.port(), "127.0.0.2");
    for (int i = 0; i < 5; ++i) {
        RawClient client(daemon.port());
        CHECK(is_served(client, "secret"));
    }
    CHECK(silent.front().receive_all().empty());
    CHECK(silent.front().ended_by_reset());
    CHECK(silent.back().receive(7) == "token: ");
    CHECK(silent.back().receives_nothing());
    CHECK(daemon.wait_for_line("clients that had not said who they are were reset, to make room for others: 1;") != "");
    CHECK(daemon.count("displaced") == 0);
    // The others are counted for the next such line, which comes with the end of the daemon at the latest.
    CHECK(daemon.count("were reset") == 1);
    silent.clear();
    CHECK(daemon.terminate() == 0);
    CHECK(daemon.whole_log().find("were reset") != daemon.whole_log().rfind("were reset"));
}

TEST_CASE("unadmitted: the ceiling is an option, and holds for all services together")
{
    const TemporaryDirectory directory;
    directory.file("tokens.txt", "secret\n");
    const std::string service = R"({ "mode": "exec", "listen": "127.0.0.1:0", "command": ["/bin/cat"],
                                     "auth": "prompt", "tokens": "tokens.txt" })";
    const auto config = directory.file("config.json", R"({ "max-unadmitted": 2, "log-level": "debug",
                                                          "services": { "a": )" +
                                                          service + R"(, "b": )" + service + " } }");
    Daemon daemon({"run", "--config", config}, 2);
    RawClient first(daemon.port(1));
    CHECK(first.receive(7) == "token: ");
    RawClient second(daemon.port(2));
    CHECK(second.receive(7) == "token: ");
    RawClient client(daemon.port(2), "127.0.0.2");
    CHECK(first.receive_all() == "");
    CHECK(first.ended_by_reset());
    CHECK(is_served(client, "secret"));
    CHECK(second.receives_nothing());
    CHECK(daemon.wait_for_line("session ended: displaced") != "");
}

TEST_CASE("unadmitted: a ceiling that cannot protect anything is warned of")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "secret\n");
    Daemon daemon(asking(tokens, {"--max-unadmitted", "1000000000"}));
    CHECK(daemon.wait_for_line("max-unadmitted is 1000000000, and ") != "");
}

TEST_CASE("a client that has ended its sending is asked every 15 seconds whether it is still there")
{
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--", "/bin/sleep", "1000"});
    RawClient client(daemon.port());
    REQUIRE(daemon.wait_for_line("instance started") != "");
    CHECK(seconds_to_probe(daemon, client) > 500);
    client.half_close();
    CHECK(eventually([&] {
        const auto seconds = seconds_to_probe(daemon, client);
        return seconds >= 0 && seconds <= 15;
    }));
}

TEST_CASE("tokens that are taken off the list: their sessions go on, or end, and the log says how many")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "red\nblue\ngreen\n");
    const auto reread = [&](Daemon& daemon, const std::string& content) {
        directory.file("tokens.txt", content);
        daemon.signal(SIGHUP);
    };
    SUBCASE("keep")
    {
        Daemon daemon(asking(tokens));
        RawClient red(daemon.port()), blue(daemon.port());
        REQUIRE(is_served(red, "red"));
        REQUIRE(is_served(blue, "blue"));
        reread(daemon, "red\ngreen\n");
        CHECK(daemon.wait_for_line("read 2 tokens from " + tokens + ", 1 removed, 1 instance of it goes on") != "");
        CHECK(blue.send("still"));
        CHECK(blue.receive(5) == "still");
        RawClient again(daemon.port());
        CHECK_FALSE(is_served(again, "blue"));
    }
    SUBCASE("end")
    {
        Daemon daemon(asking(tokens, {"--on-removed", "end"}));
        RawClient red(daemon.port()), blue(daemon.port()), blue_again(daemon.port()), green(daemon.port());
        REQUIRE(is_served(red, "red"));
        REQUIRE(is_served(blue, "blue"));
        REQUIRE(is_served(blue_again, "blue"));
        REQUIRE(is_served(green, "green"));
        reread(daemon, "red\n");
        CHECK(daemon.wait_for_line("read 1 token from " + tokens + ", 2 removed, 3 instances of them end") != "");
        for (auto* gone : {&blue, &blue_again, &green}) {
            CHECK(gone->receive_all() == "");
            CHECK(gone->ended_by_reset());
        }
        CHECK(daemon.wait_for_line("instance ended: reset by owner", 3) != "");
        CHECK(red.send("still"));
        CHECK(red.receive(5) == "still");
    }
    SUBCASE("nobody has one")
    {
        Daemon daemon(asking(tokens, {"--on-removed", "end"}));
        reread(daemon, "red\nblue\ngreen\nwhite\n");
        const auto added = daemon.wait_for_line("read 4 tokens from " + tokens);
        CHECK(added.substr(added.find(tokens)) == tokens);
        reread(daemon, "red\nblue\ngreen\n");
        const auto line = daemon.wait_for_line("read 3 tokens from " + tokens);
        CHECK(line.substr(line.find(tokens)) == tokens + ", 1 removed");
    }
}
