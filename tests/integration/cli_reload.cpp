// SPDX-License-Identifier: MIT
// The configuration is changed while the daemon runs.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using service_test::runs;
using Words = std::vector<std::string>;

namespace {

/// A daemon with a configuration that the test changes.
class Reloaded {
public:
    /// `services` as they stand in the configuration; `listeners` of them are waited for.
    explicit Reloaded(const std::string& services, std::size_t listeners = 1, const std::string& top = {})
        : file_(write(services, top)), daemon({"run", "--config", file_}, listeners), listening_(listeners)
    {
    }

    /// Has the daemon read these services, and waits until a line with `part` says what came of it.
    std::string change(const std::string& services, const std::string& part, const std::string& top = {})
    {
        write(services, top);
        return hang_up(part);
    }

    std::string hang_up(const std::string& part)
    {
        const auto before = daemon.count(part);
        daemon.signal(SIGHUP);
        return daemon.wait_for_line(part, before + 1);
    }

    /// Waits until `count` more acceptors take clients in.
    bool serves_anew(std::size_t count = 1)
    {
        listening_ += count;
        return !daemon.wait_for_line(": listening on ", listening_).empty();
    }

    /// A client of the `nth` listener that was reported.
    RawClient client(std::size_t nth = 1) { return RawClient(daemon.port(nth)); }

    std::string write(const std::string& services, const std::string& top = {})
    {
        return directory.file("c.json", "{" + top + "\"services\": {" + services + "}}");
    }

    TemporaryDirectory directory;

private:
    std::string file_;

public:
    Daemon daemon;

private:
    std::size_t listening_;
};

/// A service that runs `command`.
std::string exec(const std::string& name, const std::string& options, const std::string& command = R"(["/bin/cat"])",
                 const std::string& listen = "127.0.0.1:0")
{
    return "\"" + name + R"(": {"mode": "exec", "listen": ")" + listen + "\", " +
           (options.empty() ? "" : options + ", ") + "\"command\": " + command + "}";
}

bool echoes(RawClient& client) { return client.send("ping") && client.receive(4) == "ping"; }

/// Says its pid to each who comes, and then echoes, by a port.
const std::string pid_server = R"x(["python3", "-c", "import os, socket, threading\n)x"
                               R"x(def serve(c):\n)x"
                               R"x(    c.sendall(b'%d\\n' % os.getpid())\n)x"
                               R"x(    while data := c.recv(99): c.sendall(data)\n)x"
                               R"x(s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n)x"
                               R"x(while True: threading.Thread(target=serve, args=(s.accept()[0],)).start()"])x";

}  // namespace

TEST_CASE("reload: a configuration that is as it was changes nothing")
{
    Reloaded one(exec("web", R"("ttl": "1h")"));
    CHECK(one.change("\n" + exec("web", R"("ttl": "1h")"), "c.json is as it was") != "");
    auto client = one.client();
    CHECK(echoes(client));
    CHECK(one.daemon.count(": listening on ") == 1);
}

TEST_CASE("reload: an instance keeps its deadline, and the next one has the new one")
{
    Reloaded one(exec("web", R"("ttl": "1h")"));
    auto before = one.client();
    REQUIRE(echoes(before));
    CHECK(one.change(exec("web", R"("ttl": "200ms")"), "web: has other options: ttl (for new instances)") != "");
    REQUIRE(one.serves_anew());
    auto after = one.client();
    CHECK(after.receive_all() == "");
    CHECK(one.daemon.wait_for_line("instance ended: expired") != "");
    CHECK(echoes(before));
    CHECK(one.daemon.count("instance ended") == 1);
}

TEST_CASE("reload: more instances may be there at once")
{
    Reloaded one(exec("web", R"("max-instances": 1)"));
    auto first = one.client();
    REQUIRE(echoes(first));
    {
        auto refused = one.client();
        CHECK(refused.receive_all() == "");
    }
    CHECK(one.change(exec("web", R"("max-instances": 2)"), "max-instances (at once)") != "");
    REQUIRE(one.serves_anew());
    auto second = one.client();
    CHECK(echoes(second));
    CHECK(echoes(first));
    auto third = one.client();
    CHECK(third.receive_all() == "");
}

TEST_CASE("reload: another list of tokens holds for new sessions")
{
    const std::string old_token(128, 'o'), new_token(128, 'n');
    const TemporaryDirectory tokens;
    const auto with = [&](const std::string& token) {
        return exec("web", R"("auth": "token", "tokens": ")" + tokens.file(token.substr(0, 1), token + "\n") + "\"");
    };
    Reloaded one(with(old_token));
    const auto show = [](RawClient& client, const std::string& token) {
        client.send(token + std::string(2, '\1'));
        return echoes(client);
    };
    auto staying = one.client();
    REQUIRE(show(staying, old_token));
    CHECK(one.change(with(new_token), "has other options: tokens (for new sessions)") != "");
    REQUIRE(one.serves_anew());
    auto known = one.client(), unknown = one.client();
    CHECK(show(known, new_token));
    CHECK_FALSE(show(unknown, old_token));
    CHECK(echoes(staying));
}

TEST_CASE("reload: an instance is found again by its owner, and another command holds for the next one")
{
    const auto options = R"("auth": "source", "io": "port", "linger": "1h")";
    Reloaded one(exec("web", options, pid_server));
    std::string pid;
    {
        auto client = one.client();
        pid = client.receive_line();
        REQUIRE(echoes(client));
    }
    auto other = pid_server;
    other.insert(other.find("%d"), "new ");
    CHECK(one.change(exec("web", options, other), "has other options: command (for new instances)") != "");
    REQUIRE(one.serves_anew());
    auto again = one.client();
    CHECK(again.receive_line() == pid);
    RawClient neighbour(one.daemon.port(), "127.0.0.2");
    CHECK(neighbour.receive_line().starts_with("new "));
}

TEST_CASE("reload: warm instances of old options are replaced")
{
    const auto warm = [](const std::string& word) {
        return exec("web", R"("warm": 2)", R"(["/bin/sh", "-c", "echo )" + word + R"( $$; exec cat"])");
    };
    Reloaded one(warm("old"));
    REQUIRE(one.daemon.wait_for_line("instance started", 2) != "");
    CHECK(one.change(warm("new"), "command (for new instances)") != "");
    REQUIRE(one.daemon.wait_for_line("instance ended", 2) != "");
    REQUIRE(one.daemon.wait_for_line("instance started", 4) != "");
    auto client = one.client();
    CHECK(client.receive_line().starts_with("new "));
    CHECK(one.change(exec("web", R"("warm": 0)", R"(["/bin/sh", "-c", "echo new $$; exec cat"])"), "warm (at once)") !=
          "");
    // The two that wait, and none else.
    CHECK(one.daemon.wait_for_line("instance ended", 4) != "");
    CHECK(echoes(client));
}

TEST_CASE("reload: services are added and removed, and the sessions of a removed one may finish")
{
    Reloaded one(exec("old", ""));
    auto staying = one.client();
    REQUIRE(echoes(staying));
    CHECK(one.change(exec("new", ""), "old: is removed") != "");
    CHECK(one.daemon.wait_for_line("new: is added") != "");
    REQUIRE(one.serves_anew());
    auto client = one.client(2);
    CHECK(echoes(client));
    CHECK(eventually([&] { return !one.client(1).connected(); }));
    CHECK(echoes(staying));
    staying.half_close();
    CHECK(staying.receive_all() == "");
    CHECK(staying.ended_in_order());
    CHECK(one.daemon.wait_for_line("instance ended") != "");
    client.close();
    CHECK(one.daemon.terminate() == 0);
}

TEST_CASE(
    "reload: a service that is renamed keeps its socket, and one that comes back leaves the other's instances alone")
{
    const TemporaryDirectory sockets;
    const auto path = sockets.path("s");
    const auto named = [&](const std::string& name) {
        return exec(name, "", R"(["/bin/sh", "-c", "echo $INSTANCER_SERVICE; exec cat"])", "unix:" + path);
    };
    Reloaded one(named("a"));
    RawClient first(path);
    REQUIRE(first.receive_line() == "a");
    REQUIRE(echoes(first));
    CHECK(one.change(named("b"), "b: is added") != "");
    REQUIRE(one.serves_anew());
    RawClient second(path);
    CHECK(second.receive_line() == "b");
    CHECK(one.change(named("a"), "a: is added") != "");
    REQUIRE(one.serves_anew());
    RawClient third(path);
    CHECK(third.receive_line() == "a");
    CHECK(echoes(first));
    CHECK(echoes(second));
    CHECK(std::filesystem::exists(path));
    for (auto* client : {&first, &second, &third})
        client->half_close();
    CHECK(one.daemon.terminate() == 0);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("reload: a service listens on other addresses, and those that stay are never closed")
{
    const TemporaryDirectory sockets;
    const auto at = [&](const Words& names) {
        std::string list;
        for (const auto& name : names)
            list += (list.empty() ? "" : R"(", ")") + ("unix:" + sockets.path(name));
        return R"("web": {"mode": "exec", "command": ["/bin/cat"], "listen": [")" + list + "\"]}";
    };
    Reloaded one(at({"one", "two"}), 2);
    CHECK(one.change(at({"two", "three"}), "has other options: listen (at once)") != "");
    REQUIRE(one.serves_anew(2));
    RawClient second(sockets.path("two")), third(sockets.path("three"));
    CHECK(echoes(second));
    CHECK(echoes(third));
    CHECK(eventually([&] { return !std::filesystem::exists(sockets.path("one")); }));
    CHECK(std::filesystem::exists(sockets.path("two")));
}

TEST_CASE("reload: a configuration that cannot be used changes nothing")
{
    const Listener busy;
    Reloaded one(exec("web", R"("ttl": "1h")"));
    SUBCASE("it is no JSON") { CHECK(one.change("{", "the configuration stays as it was") != ""); }
    SUBCASE("a check fails")
    {
        CHECK(one.change(exec("web", R"("ttl": "2h", "warm": 1, "io": "socket")"),
                         "the configuration stays as it was") != "");
    }
    SUBCASE("an address is taken")
    {
        CHECK(one.change(exec("web", R"("ttl": "2h")") + ", " + exec("new", "", R"(["/bin/cat"])", busy.address()),
                         "cannot listen on " + busy.address()) != "");
    }
    auto client = one.client();
    CHECK(echoes(client));
    CHECK(one.daemon.count("has other options") == 0);
    CHECK(one.daemon.count("is added") == 0);
    // What it was about to change has yet to be changed.
    CHECK(one.change(exec("web", R"("ttl": "2h")"), "has other options: ttl") != "");
    CHECK(one.serves_anew());
}

TEST_CASE("reload: what takes a restart is named, and holds up nothing else")
{
    Reloaded one(exec("a", R"("ttl": "1h")") + ", " + exec("b", R"("ttl": "1h")"), 2, R"("threads": 2, )");
    const auto line = one.change(exec("a", R"("ttl": "2h", "io": "port")") + ", " + exec("b", R"("ttl": "2h")"),
                                 "takes a restart", R"("threads": 1, "log-level": "debug", )");
    CHECK(line.find("a change of threads, services.a.io takes a restart") != line.npos);
    CHECK(one.daemon.count("b: has other options: ttl") == 1);
    CHECK(one.daemon.count("a: has other options") == 0);
    REQUIRE(one.serves_anew());
    auto client = one.client();
    CHECK(echoes(client));
    CHECK(one.daemon.wait_for_line("debug") != "");
}

TEST_CASE("reload: a service that fails to start is told, and the others go on")
{
    const auto with_engine = [](const std::string& image) {
        return exec("web", "") + R"(, "box": {"mode": "docker", "listen": "127.0.0.1:0", "port": 1, "image": ")" +
               image + R"(", "engine": "unix:///nonexistent/engine"})";
    };
    Reloaded one(exec("web", ""));
    CHECK(one.change(with_engine("one"), "error box: ") != "");
    auto client = one.client();
    CHECK(echoes(client));
    // It is tried again by the next one.
    CHECK(one.hang_up("error box: ") != "");
    CHECK(one.change(exec("web", ""), "c.json is as it was") != "");
    CHECK(echoes(client));
    CHECK(one.daemon.wait(0ms) == std::nullopt);
    client.half_close();
    CHECK(one.daemon.terminate() == 0);
}

TEST_CASE("reload: a service that has yet to start is changed and removed, and holds up nobody")
{
    const TemporaryDirectory directory;
    // It takes requests, and answers none.
    const Listener engine("unix:" + directory.path("engine"));
    const auto with_box = [&](const std::string& image) {
        return exec("web", "") + R"(, "box": {"mode": "docker", "listen": "127.0.0.1:0", "port": 1, "image": ")" +
               image + R"(", "engine": "unix://)" + directory.path("engine") + R"("})";
    };
    Reloaded one(exec("web", ""));
    CHECK(one.change(with_box("one"), "box: is added") != "");
    const auto question = engine.accept();
    CHECK(question);
    CHECK(one.change(with_box("two"), "box: has other options: image") != "");
    CHECK(one.change(exec("web", R"("ttl": "1h")"), "box: is removed") != "");
    REQUIRE(one.serves_anew());
    {
        auto client = one.client();
        CHECK(echoes(client));
    }
    CHECK(one.daemon.count("error box") == 0);
    CHECK(one.daemon.terminate() == 0);
}

TEST_CASE("reload: what the file holds last is in force, however many signals come")
{
    const auto answers = [](const std::string& word) {
        return exec("web", "", R"(["/bin/sh", "-c", "echo )" + word + R"("])");
    };
    Reloaded one(answers("word0"));
    for (int i = 1; i <= 8; ++i) {
        one.write(answers("word" + std::to_string(i)));
        one.daemon.signal(SIGHUP);
    }
    CHECK(eventually([&] { return one.client().receive_line() == "word8"; }));
    one.daemon.signal(SIGHUP);
    CHECK(one.daemon.terminate() == 0);
}

TEST_CASE("reload: one that comes while the daemon ends changes nothing")
{
    Reloaded one(exec("web", R"("ttl": "1h")"));
    auto client = one.client();
    REQUIRE(echoes(client));
    one.daemon.signal(SIGTERM);
    REQUIRE(one.daemon.wait_for_line("finishing the sessions") != "");
    CHECK(one.change(exec("web", R"("ttl": "2h")"), "the daemon is ending; the configuration stays as it was") != "");
    CHECK(echoes(client));
    client.half_close();
    CHECK(one.daemon.wait() == 0);
}

TEST_CASE("reload: sessions go on being numbered, and are all told of")
{
    Reloaded one(exec("web", R"("ttl": "1h")"));
    auto first = one.client();
    REQUIRE(echoes(first));
    CHECK(one.change(exec("web", R"("ttl": "2h")"), "has other options") != "");
    REQUIRE(one.serves_anew());
    auto second = one.client();
    REQUIRE(echoes(second));
    one.daemon.signal(SIGUSR1);
    CHECK(one.daemon.wait_for_line("session is open").find("session=1") != std::string::npos);
    CHECK(one.daemon.wait_for_line("session is open", 2).find("session=2") != std::string::npos);
}

TEST_CASE("reload: upstreams are others for new sessions")
{
    const Listener old_server, new_server;
    const auto to = [](const Listener& server) {
        return R"("web": {"mode": "forward", "listen": "127.0.0.1:0", "to": ")" + server.address() + "\"}";
    };
    Reloaded one(to(old_server));
    auto staying = one.client();
    const auto there = old_server.accept();
    REQUIRE(there);
    CHECK(one.change(to(new_server), "has other options: to (for new sessions)") != "");
    REQUIRE(one.serves_anew());
    auto client = one.client();
    CHECK(new_server.accept());
    REQUIRE(::send(there.get(), "hello", 5, MSG_NOSIGNAL) == 5);
    CHECK(staying.receive(5) == "hello");
}

TEST_CASE("reload: the service manager is told when it begins and when it is over")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("notify");
    const instancer::UniqueFd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const SocketAddress address("unix:" + path);
    REQUIRE(::bind(manager.get(), address.get(), address.size()) == 0);
    const timeval limit{20, 0};
    ::setsockopt(manager.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const auto told = [&] {
        char text[128];
        const auto size = ::recv(manager.get(), text, sizeof text, 0);
        return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    };
    const auto file = directory.file("c.json", "{\"services\": {" + exec("web", "") + "}}");
    Daemon daemon(instancerd({"run", "--config", file}), {"NOTIFY_SOCKET=" + path}, -1);
    CHECK(told() == "READY=1");
    daemon.signal(SIGHUP);
    CHECK(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    CHECK(told() == "READY=1");
}
