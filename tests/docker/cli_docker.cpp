// SPDX-License-Identifier: MIT
// The daemon as a user starts it.
#include <daemon.hpp>
#include <docker_support.hpp>
#include <listener.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace docker_test;
using daemon_test::Daemon;
using daemon_test::RawClient;
using service_test::eventually;

namespace {

using Words = std::vector<std::string>;

/// A daemon's name that no other test uses, and the containers that bear it.
class Name {
public:
    Name()
    {
        need_shell_image();
        static int count = 0;
        text = "cli-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    }

    json containers() const { return Engine().labelled("instancer.daemon%3D" + text); }

    Words docker(const Words& options, const Words& command = {}) const
    {
        Words words = {"docker",   "--listen",       "127.0.0.1:0", "--name",   text,
                       "--engine", default_engine(), "--image",     shell_image};
        words.insert(words.end(), options.begin(), options.end());
        if (!command.empty())
            words.emplace_back("--");
        words.insert(words.end(), command.begin(), command.end());
        return words;
    }

    std::string text;
};

/// What the shell in the client's instance answers to a script.
std::string ask(RawClient& client, const std::string& script)
{
    client.send(script + "\n");
    return client.receive_line();
}

/// With clients connected.
void stop_now(Daemon& daemon)
{
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_for_line("finishing the sessions") != "");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
}

std::string greeting(char token, const std::string& identifier) { return std::string(128, token) + identifier; }

}  // namespace

TEST_CASE("a signal ends a daemon that still waits for its image")
{
    // A registry that takes connections and never says a word.
    const daemon_test::Listener registry;
    daemon_test::Child daemon({test_paths::instancerd, "docker", "--listen", "127.0.0.1:0", "--engine",
                               default_engine(), "--image", "127.0.0.1:" + registry.port() + "/nothing", "--port",
                               "1"});
    REQUIRE(daemon.wait_for_line("pulling image") != "");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(daemon.wait_for_line("info ended") != "");
}

TEST_CASE("a client that resets ends a container that goes on writing, long before its grace is over")
{
    for (const auto* terminal : {"--stdio", "--pty"}) {
        CAPTURE(terminal);
        const Name name;
        Words options{"--stdio", "--stop-grace", "10m"};
        if (options.front() != terminal)
            options.emplace_back(terminal);
        Daemon daemon(name.docker(options, {"sh", "-c", "while :; do echo more; done"}));
        for (const bool reads : {true, false}) {
            CAPTURE(reads);
            RawClient client(daemon.port());
            CHECK(client.receive_line().starts_with("more"));
            for (int i = 0; reads && i < 100; ++i)
                client.receive_line();
            client.reset();
            CHECK(daemon.wait_for_line("session ended: client reset", reads ? 1 : 2) != "");
            CHECK(eventually([&] { return name.containers().empty(); }));
        }
        daemon.signal(SIGTERM);
        CHECK(daemon.wait() == 0);
    }
}

TEST_CASE("a client meets a container of its own, and none outlives the daemon")
{
    const Name name;
    Daemon daemon(name.docker({"--env", "FROM={listen-port}"}));
    RawClient one(daemon.port()), two(daemon.port());
    CHECK(ask(one, "echo one >/tmp/mark; echo $INSTANCER_CLIENT_PORT") == std::to_string(one.local_port()));
    CHECK(ask(one, "echo $INSTANCER_LISTEN_PORT $FROM") ==
          std::to_string(daemon.port()) + " " + std::to_string(daemon.port()));
    CHECK(ask(two, "cat /tmp/mark 2>/dev/null || echo none") == "none");
    CHECK(name.containers().size() == 2);
    one.close();
    CHECK(eventually([&] { return name.containers().size() == 1; }));
    CHECK(ask(two, "echo still here") == "still here");
    stop_now(daemon);
    CHECK(name.containers().empty());
}

TEST_CASE("standard streams of a container are the connection")
{
    const Name name;
    Daemon daemon(name.docker({"--stdio"}, {"sh", "-c", "echo welcome; cat; echo remark >&2"}));
    RawClient client(daemon.port());
    CHECK(client.receive_line() == "welcome");
    client.send("to and fro");
    client.half_close();
    CHECK(client.receive_all() == "to and fro");
    CHECK(client.ended_in_order());
    CHECK(daemon.wait_for_line("remark") != "");
    CHECK(eventually([&] { return name.containers().empty(); }));
}

TEST_CASE("an instance that dies takes its client's connection with it at once")
{
    const Name name;
    Daemon daemon(name.docker({}));
    RawClient client(daemon.port());
    CHECK(ask(client, "echo here") == "here");
    const std::string id = name.containers().at(0)["Id"];
    const auto begin = std::chrono::steady_clock::now();
    Engine().call("POST", "/containers/" + id + "/kill");
    client.receive_all();
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    CHECK(daemon.wait_for_line("exit code 137") != "");
    CHECK(eventually([&] { return name.containers().empty(); }));
}

TEST_CASE("after kill -9 a returning client meets its own instance, and a reset reaches it")
{
    const Name name;
    const daemon_test::TemporaryDirectory folder;
    const auto tokens = folder.file("tokens", std::string(128, 'a') + "\n" + std::string(128, 'b') + "\n");
    const Words options = {"--auth", "token", "--tokens", tokens};
    {
        Daemon first(name.docker(options));
        for (const std::string token : {"a", "b"}) {
            RawClient client(first.port());
            client.send(greeting(token[0], "01"));
            CHECK(ask(client, "echo " + token + " >/tmp/mark; echo done") == "done");
        }
        first.signal(SIGKILL);
        first.wait();
        CHECK(name.containers().size() == 2);
    }
    Daemon second(name.docker(options));
    for (const std::string token : {"a", "b"}) {
        RawClient client(second.port());
        client.send(greeting(token[0], "01"));
        CHECK(ask(client, "cat /tmp/mark") == token);
    }
    CHECK(name.containers().size() == 2);
    {
        RawClient client(second.port());
        client.send(greeting('a', std::string(2, '\0')));
        CHECK(ask(client, "cat /tmp/mark 2>/dev/null || echo fresh") == "fresh");
    }
    RawClient gone(second.port()), kept(second.port());
    gone.send(greeting('a', "01"));
    CHECK(ask(gone, "cat /tmp/mark 2>/dev/null || echo fresh") == "fresh");
    kept.send(greeting('b', "01"));
    CHECK(ask(kept, "cat /tmp/mark") == "b");
    stop_now(second);
    CHECK(name.containers().empty());
}

TEST_CASE("an instance's time to live counts from its claim, however often its daemon is killed")
{
    const Name name;
    const daemon_test::TemporaryDirectory folder;
    const auto tokens = folder.file("tokens", std::string(128, 'a') + "\n");
    const Words options = {"--auth", "token", "--tokens", tokens, "--ttl", "10m", "--warm", "1"};
    const auto mark = [](Daemon& daemon, const std::string& script) {
        RawClient client(daemon.port());
        client.send(greeting('a', "01"));
        return ask(client, script);
    };
    // As if the instance had been claimed so much earlier: its name tells when.
    const auto claimed_earlier = [&](std::chrono::seconds by) {
        for (const auto& container : name.containers()) {
            std::string text = container["Names"][0];
            const auto end = text.rfind('.'), begin = text.rfind('.', end - 1) + 1;
            if (text.find(".returning.") == text.npos)
                continue;
            const auto time = std::stoll(text.substr(begin, end - begin)) - by.count();
            text.replace(begin, end - begin, std::to_string(time));
            Engine engine;
            engine.call("POST", "/containers/" + container["Id"].get<std::string>() + "/rename?name=" + text.substr(1));
            REQUIRE(engine.status() == 204);
        }
    };
    for (int starts = 0; starts < 4; ++starts) {
        Daemon daemon(name.docker(options));
        if (starts == 0)
            CHECK(mark(daemon, "echo first >/tmp/mark; cat /tmp/mark") == "first");
        else if (starts < 3)
            CHECK(mark(daemon, "cat /tmp/mark") == "first");
        else
            CHECK(daemon.wait_for_line("instance ended: expired") != "");
        if (starts == 3) {
            CHECK(mark(daemon, "cat /tmp/mark 2>/dev/null || echo fresh") == "fresh");
            CHECK(daemon.terminate() == 0);
            break;
        }
        CHECK(eventually([&] {
            const auto containers = name.containers();
            return std::any_of(containers.begin(), containers.end(), [](const auto& container) {
                return container["Names"][0].template get<std::string>().find(".returning.") != std::string::npos;
            });
        }));
        daemon.signal(SIGKILL);
        daemon.wait();
        claimed_earlier(4min);
    }
    CHECK(name.containers().empty());
}

TEST_CASE("warm instances wait for clients, bear their owner's name once they are claimed, and are replaced")
{
    const Name name;
    Daemon daemon(name.docker({"--warm", "2"}));
    const auto named = [&](const std::string& part) {
        int count = 0;
        for (const auto& container : name.containers())
            count += container["Names"][0].get<std::string>().find(part) != std::string::npos;
        return count;
    };
    CHECK(eventually([&] { return named(".warm.") == 2; }));
    RawClient client(daemon.port());
    CHECK(ask(client, "echo here") == "here");
    CHECK(eventually([&] { return named(".unique.") == 1 && named(".warm.") == 2; }));
}

TEST_CASE("a start that fails is explained in the log, and its client reset")
{
    const Name name;
    Daemon daemon(name.docker({}, {"sh", "-c", "echo no luck; exit 9"}));
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
    for (const auto* part : {"exit code 9", "no luck", "exposes 9000/tcp"})
        CHECK_MESSAGE(daemon.wait_for_line(part) != "", part);
    CHECK(eventually([&] { return name.containers().empty(); }));
}

TEST_CASE("an engine that is down at start is a clear error")
{
    daemon_test::Child daemon(daemon_test::instancerd(
        {"docker", "--listen", "127.0.0.1:0", "--image", "any", "--engine", "unix:///tmp/no-such-engine.sock"}));
    CHECK(daemon.wait() == 1);
    const auto log = daemon.whole_log();
    CHECK_MESSAGE((log.find("/tmp/no-such-engine.sock") != log.npos && log.find("No such file") != log.npos), log);
}
