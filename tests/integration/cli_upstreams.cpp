// SPDX-License-Identifier: MIT
// instancerd forward: upstreams that go down and come back, fill up, drain, and are told who their clients are.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <forward.hpp>
#include <listener.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

#include <instancer/acceptor/proxy_protocol.hpp>

using namespace daemon_test;
using instancer::UniqueFd;
using service_test::eventually;

namespace {

/// A port that nobody listens on.
std::string free_port() { return Listener().port(); }

/// A server that answers each connection by `answer`, which may change, after it has read `question`; counts them.
class Scripted {
public:
    explicit Scripted(std::string answer, std::size_t question = 0) : answer_(std::move(answer)), question_(question)
    {
        thread_ = std::thread([this] { serve(); });
    }
    ~Scripted()
    {
        ::shutdown(listener_.fd(), SHUT_RDWR);
        thread_.join();
    }

    std::string address() const { return "127.0.0.1:" + listener_.port(); }

    void set_answer(const std::string& answer)
    {
        const std::lock_guard lock(mutex_);
        answer_ = answer;
    }

    /// What the last client asked.
    std::string asked() const
    {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

    int served() const { return served_; }

private:
    void serve()
    {
        for (;;) {
            const UniqueFd client(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!client)
                return;
            std::string question(question_, '\0');
            if (question_ > 0)
                question.resize(static_cast<std::size_t>(
                    std::max<ssize_t>(::recv(client.get(), question.data(), question.size(), MSG_WAITALL), 0)));
            std::unique_lock lock(mutex_);
            asked_ = question;
            const auto answer = answer_;
            lock.unlock();
            ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
            ++served_;
        }
    }

    Listener listener_;
    std::string answer_;
    std::string asked_;
    std::size_t question_;
    std::atomic<int> served_ = 0;
    mutable std::mutex mutex_;
    std::thread thread_;
};

/// A server that takes connections when the test does.
class Slow : public Listener {
public:
    Slow()
    {
        // Another one may take its port while a connection lives.
        const int on = 1;
        ::setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }

    UniqueFd accept() const { return UniqueFd(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }
    std::string address() const { return "127.0.0.1:" + port(); }
};

void say(const UniqueFd& connection, const std::string& text)
{
    ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

/// Waits until the daemon reports `text` about an upstream.
bool reports(const Daemon& daemon, const std::string& text)
{
    const auto before = daemon.count(text);
    return eventually([&] {
        daemon.signal(SIGUSR1);
        return !daemon.wait_for_line(text, before + 1, 100ms).empty();
    });
}

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
}

}  // namespace

TEST_CASE("upstreams: a check sees one go down and come back, and no client meets it meanwhile")
{
    const Named good("good");
    auto other = std::make_unique<Named>("other");
    const auto port = other->port(), address = other->address();
    Daemon daemon(forward(good.address() + "," + address,
                          {"--check-interval", "20ms", "--check-fall", "2", "--check-rise", "2"}));
    CHECK(eventually([&] { return name_of_server(daemon) == "other"; }));
    CHECK(reports(daemon, "upstream " + address + " is up connections=0 weight=1"));

    other.reset();
    const auto down = daemon.wait_for_line("upstream " + address + " is down: connecting to " + address);
    CHECK(down.find("Connection refused") != std::string::npos);
    for (int i = 0; i < 6; ++i)
        CHECK(name_of_server(daemon) == "good");
    CHECK(reports(daemon, "upstream " + address + " is down connections=0 weight=1"));

    other = std::make_unique<Named>("back", port);
    CHECK(daemon.wait_for_line("upstream " + address + " is up again") != "");
    std::set<std::string> names;
    for (int i = 0; i < 2; ++i)
        names.insert(name_of_server(daemon));
    CHECK(names == std::set<std::string>{"good", "back"});
    CHECK(daemon.count(" is down: ") == 1);
}

TEST_CASE("upstreams: a check asks and looks for an answer, over TCP and Unix sockets")
{
    Scripted server("status: ready\n", 6);
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon echo({"exec", "--listen", "unix:" + path, "--", "/bin/cat"});
    Daemon daemon(forward(server.address() + ",unix:" + path,
                          {"--check-interval", "20ms", "--check-send", "PING\\r\\n", "--check-expect", "PING\\x0d",
                           "--check-fall", "1", "--check-rise", "1"}));
    CHECK(daemon.wait_for_line("upstream " + server.address() +
                               " is down: its answer is not the one that is expected") != "");
    CHECK(server.asked() == "PING\r\n");
    server.set_answer("you said PING\r\n");
    CHECK(daemon.wait_for_line("upstream " + server.address() + " is up again") != "");
    CHECK(daemon.count("unix:" + path + " is down") == 0);
    CHECK(echo.terminate() == 0);
    CHECK(daemon.wait_for_line("upstream unix:" + path + " is down: ") != "");
}

TEST_CASE("upstreams: what a check expects may be in the middle of a long answer")
{
    const Scripted server(std::string(100, ' ') + "ready" + std::string(20'000, ' '));
    Daemon daemon(forward(server.address(), {"--check-interval", "10ms", "--check-expect", "ready"}));
    CHECK(eventually([&] { return server.served() > 3; }));
    CHECK(daemon.count("is down") == 0);
}

TEST_CASE("upstreams: the first check does not wait for its interval")
{
    const auto dead = "127.0.0.1:" + free_port();
    const Named good("good");
    Daemon daemon(forward(dead + "," + good.address(), {"--check-interval", "10h"}));
    REQUIRE(daemon.wait_for_line("upstream " + dead + " is down") != "");
    for (int i = 0; i < 2; ++i)
        CHECK(name_of_server(daemon) == "good");
}

TEST_CASE("upstreams: a server that takes connections and says nothing fails its check in time")
{
    const Slow silent;
    Daemon daemon(
        forward(silent.address(), {"--check-interval", "20ms", "--check-timeout", "50ms", "--check-expect", "x"}));
    CHECK(daemon.wait_for_line("upstream " + silent.address() + " is down: its answer takes too long") != "");
    // None is up: the client is not kept waiting.
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: backend unavailable: no upstream is up") != "");
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("upstreams: with none left nobody listens, until one is back")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("front");
    auto server = std::make_unique<Named>("server");
    const auto port = server->port();
    const auto options = forward(server->address(), {"--when-down", "close-listener", "--listen", "unix:" + path,
                                                     "--unix-mode", "0600", "--check-interval", "20ms"});
    Daemon daemon(options, 2);
    CHECK(name_of_server(daemon) == "server");

    const auto is_refused = [](auto&& client) { return !client.connected() && errno == ECONNREFUSED; };
    server.reset();
    REQUIRE(daemon.wait_for_line("no upstream works; the listeners are closed until one does") != "");
    CHECK(is_refused(RawClient(daemon.port())));
    CHECK(is_refused(RawClient(path)));

    server = std::make_unique<Named>("back", port);
    REQUIRE(daemon.wait_for_line("an upstream works again") != "");
    CHECK(name_of_server(daemon) == "back");
    CHECK(RawClient(path).receive_line() == "back");
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(daemon.terminate() == 0);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("upstreams: without checks it is clients who find out; sessions go on while nobody listens")
{
    Slow server;
    const auto port = server.port();
    Daemon daemon(
        forward(server.address(), {"--when-down", "close-listener", "--max-fails", "1", "--fail-timeout", "300ms"}));
    RawClient staying(daemon.port());
    const auto connection = server.accept();
    server.close();
    {
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
    }
    REQUIRE(daemon.wait_for_line("no upstream works; the listeners are closed until one does") != "");
    say(connection, "still here\n");
    CHECK(staying.receive_line() == "still here");
    // One that has rested is taken to work, until a client finds out again.
    REQUIRE(daemon.wait_for_line("an upstream works again") != "");
    CHECK(name_of_server(daemon) == "");
    REQUIRE(daemon.wait_for_line("the listeners are closed", 2) != "");
    const Named back("back", port);
    REQUIRE(daemon.wait_for_line("an upstream works again", 2) != "");
    CHECK(name_of_server(daemon) == "back");
}

TEST_CASE("upstreams: a socket that a service manager passed stays open for whoever comes next")
{
    const Listener passed;
    const auto upstream = free_port();
    const std::vector<std::string> command = {"/bin/sh",
                                              "-c",
                                              "LISTEN_PID=$$ exec \"$@\"",
                                              "sh",
                                              test_paths::instancerd,
                                              "forward",
                                              "--listen",
                                              "fd:web",
                                              "--to",
                                              "127.0.0.1:" + upstream,
                                              "--check-interval",
                                              "20ms",
                                              "--when-down",
                                              "close-listener"};
    Daemon daemon(command, {"LISTEN_FDS=1", "LISTEN_FDNAMES=web"}, passed.fd());
    CHECK(daemon.wait_for_line("is not ours to close; it stays open, its clients are reset") != "");
    {
        RawClient client(daemon.port());
        REQUIRE(client.connected());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
    }
    const Named server("server", upstream);
    REQUIRE(daemon.wait_for_line("an upstream works again") != "");
    CHECK(name_of_server(daemon) == "server");
}

TEST_CASE("upstreams: an address that somebody takes meanwhile is asked for until it is free again")
{
    const auto upstream = free_port();
    Daemon daemon(forward("127.0.0.1:" + upstream, {"--check-interval", "20ms", "--when-down", "close-listener"}));
    REQUIRE(daemon.wait_for_line("the listeners are closed") != "");
    UniqueFd thief(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(thief.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(daemon.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(thief.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(thief.get(), 1) == 0);
    const Named server("server", upstream);
    CHECK(daemon.wait_for_line("Address already in use; it is tried again every second") != "");
    CHECK(daemon.count("clients are taken in") == 0);
    thief.reset();
    CHECK(eventually([&] { return name_of_server(daemon) == "server"; }));
    CHECK(daemon.count("tried again every second") == 1);
}

TEST_CASE("upstreams: a list from a file drains, adds and removes while the daemon runs")
{
    const TemporaryDirectory directory;
    const Named a("a"), b("b"), c("c");
    const auto file = directory.file("list", a.address() + "\n" + b.address() + "  # the second\n");
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to-file", file, "--balance", "source-hash"});
    auto staying = std::make_unique<RawClient>(daemon.port());
    const auto home = staying->receive_line();
    const auto& own = home == "a" ? a : b;
    const std::string other_name = home == "a" ? "b" : "a";

    auto reload = [&, reads = 0u](const std::string& text) mutable {
        write_file(file, text);
        daemon.signal(SIGHUP);
        return daemon.wait_for_line(": read ", ++reads);
    };
    CHECK(reload(a.address() + "=" + (home == "a" ? "0" : "1") + "\n" + b.address() + "=" + (home == "b" ? "0" : "1"))
              .find("read 2 upstreams from " + file) != std::string::npos);
    CHECK(name_of_server(daemon) == other_name);
    CHECK(reports(daemon, "upstream " + own.address() + " is draining connections=1 weight=0"));

    // Removed altogether: still there until its client goes.
    CHECK(reload(c.address() + "\n") != "");
    CHECK(name_of_server(daemon) == "c");
    staying->send("still here\n");
    CHECK(staying->receive_line() == "still here");
    CHECK(reports(daemon, "upstream " + own.address() + " is draining connections=1 weight=0"));
    staying.reset();
    REQUIRE(daemon.wait_for_line("session ended", 3) != "");
    for (std::size_t i = 1; i <= 3; ++i)
        CHECK(daemon.wait_for_line("session ended", i).find(" upstream=") != std::string::npos);
    CHECK(daemon.wait_for_line(" upstream=" + own.address() + " ") != "");
    const auto lines = daemon.count("upstream " + own.address());
    CHECK(reports(daemon, "upstream " + c.address() + " is up connections=0 weight=1"));
    CHECK(daemon.count("upstream " + own.address()) == lines);

    // What is wrong changes nothing.
    write_file(file, c.address() + "\nnonsense\n");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line(file + ":2: 'nonsense' has no port") != "");
    CHECK(daemon.count("; the upstreams stay as they were") == 1);
    CHECK(name_of_server(daemon) == "c");

    write_file(file, "");
    Child empty(instancerd({"forward", "--listen", "127.0.0.1:0", "--to-file", file}));
    CHECK(empty.wait() == 2);
    CHECK(empty.whole_log().find(file + ": holds no upstream") != std::string::npos);
}

TEST_CASE("upstreams: an upstream that a new list adds is checked, one that it removes no more")
{
    const TemporaryDirectory directory;
    const Scripted first("x"), second("x");
    const auto file = directory.file("list", first.address() + "\n");
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to-file", file, "--check-interval", "5ms"});
    CHECK(eventually([&] { return first.served() > 3; }));
    write_file(file, second.address() + "\n");
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("read 1 upstream from") != "");
    const auto before = first.served();
    CHECK(eventually([&] { return second.served() > 20; }));
    CHECK(first.served() <= before + 1);
}

TEST_CASE("upstreams: no more connections than an upstream may have; others wait for their turn")
{
    const Slow server;
    Daemon daemon(forward(server.address(), {"--max-per-upstream", "1", "--queue-size", "2"}));
    auto running = std::make_unique<RawClient>(daemon.port());
    auto connection = server.accept();
    RawClient second(daemon.port());
    REQUIRE(reports(daemon, "1 client waits for an upstream"));
    auto leaving = std::make_unique<RawClient>(daemon.port());
    REQUIRE(reports(daemon, "2 clients wait for an upstream"));
    {
        RawClient refused(daemon.port());
        CHECK(refused.receive_all() == "");
        CHECK(refused.ended_by_reset());
        CHECK(daemon.wait_for_line("session ended: refused: every upstream has its maximum of connections") != "");
    }
    // A half-close is no reason to leave, a reset is.
    second.send("second");
    second.half_close();
    leaving->reset();
    CHECK(daemon.wait_for_line("session ended: client left") != "");
    RawClient third(daemon.port());
    REQUIRE(reports(daemon, "2 clients wait for an upstream"));

    running.reset();
    connection.reset();
    connection = server.accept();
    char text[6];
    REQUIRE(::recv(connection.get(), text, sizeof text, MSG_WAITALL) == 6);
    CHECK(std::string(text, 6) == "second");
    CHECK(reports(daemon, "upstream " + server.address() + " is up connections=1 weight=1"));
    say(connection, "to the second");
    connection.reset();
    CHECK(second.receive_all() == "to the second");

    connection = server.accept();
    say(connection, "to the third");
    connection.reset();
    third.half_close();
    CHECK(third.receive_all() == "to the third");
    CHECK(reports(daemon, "upstream " + server.address() + " is up connections=0 weight=1"));
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("upstreams: who waits for too long is reset, and the end of the daemon ends all waiting")
{
    const Slow server;
    SUBCASE("too long")
    {
        Daemon daemon(forward(server.address(), {"--max-per-upstream", "1", "--queue-timeout", "50ms"}));
        RawClient running(daemon.port());
        const auto connection = server.accept();
        RawClient waiting(daemon.port());
        CHECK(waiting.receive_all() == "");
        CHECK(waiting.ended_by_reset());
        CHECK(daemon.wait_for_line("session ended: queue timeout: no upstream had room") != "");
    }
    SUBCASE("the end")
    {
        Daemon daemon(forward(server.address(), {"--max-per-upstream", "1", "--queue-timeout", "0"}));
        RawClient running(daemon.port());
        const auto connection = server.accept();
        RawClient waiting(daemon.port());
        REQUIRE(reports(daemon, "1 client waits for an upstream"));
        daemon.signal(SIGTERM);
        REQUIRE(daemon.wait_for_line("finishing the sessions") != "");
        CHECK(daemon.terminate() == 0);
        CHECK(waiting.receive_all() == "");
        CHECK(waiting.ended_by_reset());
        CHECK(daemon.whole_log().find("session ended: stopped") != std::string::npos);
    }
}

TEST_CASE("upstreams: many clients through few places, on several threads")
{
    const Named a("a"), b("b");
    Daemon daemon(forward(a.address() + "," + b.address(), {"--max-per-upstream", "2", "--threads", "3"}));
    std::atomic<int> well = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 20; ++i)
        clients.emplace_back([&, i] {
            for (int k = 0; k < 5; ++k) {
                RawClient client(daemon.port());
                if (i % 4 == 3 && k % 2 == 0) {
                    client.reset();
                    ++well;
                    continue;
                }
                client.send("x\n");
                client.half_close();
                const auto answer = client.receive_all();
                well += answer == "a\nx\n" || answer == "b\nx\n";
            }
        });
    clients.clear();
    CHECK(well == 100);
    REQUIRE(daemon.wait_for_line("session ended", 100) != "");
    CHECK(reports(daemon, "upstream " + a.address() + " is up connections=0 weight=1"));
    CHECK(reports(daemon, "upstream " + b.address() + " is up connections=0 weight=1"));
}

TEST_CASE("upstreams: one that does not answer delays its own client alone, and not for ever")
{
    const HangingListener hanging;
    const Named good("good");
    Daemon daemon(forward(hanging.address() + "," + good.address(),
                          {"--connect-timeout", "2s", "--max-fails", "0", "--threads", "1"}));
    RawClient delayed(daemon.port());
    REQUIRE(reports(daemon, "upstream " + hanging.address() + " is up connections=1"));
    CHECK(name_of_server(daemon) == "good");
    CHECK(reports(daemon, "upstream " + hanging.address() + " is up connections=1"));
    CHECK(delayed.receive_line() == "good");
}

TEST_CASE("upstreams: a client that goes while its server is silent is noticed at once, one that half-closes stays")
{
    const HangingListener silent;
    Daemon daemon(forward(silent.address(), {"--connect-timeout", "1h"}));
    RawClient staying(daemon.port()), going(daemon.port());
    REQUIRE(reports(daemon, "upstream " + silent.address() + " is up connections=2"));
    staying.half_close();
    going.reset();
    CHECK(daemon.wait_for_line("session ended: client left") != "");
    CHECK(reports(daemon, "upstream " + silent.address() + " is up connections=1"));
    CHECK(staying.receives_nothing());
    staying.reset();
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("upstreams: who waits is served by one that has rested, while the others are full")
{
    const Slow busy;
    auto hanging = std::make_unique<HangingListener>();
    const auto port = hanging->port(), address = hanging->address();
    Daemon daemon(
        forward(busy.address() + "," + address, {"--max-per-upstream", "1", "--queue-size", "1", "--connect-timeout",
                                                 "1s", "--max-fails", "1", "--fail-timeout", "2s"}));
    RawClient running(daemon.port());
    const auto connection = busy.accept();
    RawClient failing(daemon.port());
    REQUIRE(reports(daemon, "upstream " + address + " is up connections=1"));
    RawClient waiting(daemon.port());
    REQUIRE(reports(daemon, "1 client waits for an upstream"));
    REQUIRE(daemon.wait_for_line("upstream " + address + " takes no connections") != "");
    CHECK(failing.receive_all() == "");
    REQUIRE(reports(daemon, "1 client waits for an upstream"));
    hanging.reset();
    const Named back("back", port);
    CHECK(waiting.receive_line() == "back");
}

TEST_CASE("upstreams: a server is told who its client is, before anything else")
{
    using instancer::ProxyVersion;
    const Slow server;
    for (const bool binary : {false, true}) {
        CAPTURE(binary);
        Daemon daemon(forward(server.address(), {"--send-proxy", binary ? "v2" : "v1"}));
        RawClient client(daemon.port());
        client.send("hello");
        client.half_close();
        const auto connection = server.accept();
        std::string all;
        char part[512];
        for (ssize_t count; (count = ::recv(connection.get(), part, sizeof part, 0)) > 0;)
            all.append(part, static_cast<std::size_t>(count));
        const auto own = asio::ip::make_address("127.0.0.1");
        const instancer::ClientInfo info({own, client.local_port()}, {own, daemon.port()});
        CHECK(all == encode_proxy_header(binary ? ProxyVersion::v2 : ProxyVersion::v1, info) + "hello");
        say(connection, "and back");
        ::shutdown(connection.get(), SHUT_RDWR);
        CHECK(client.receive_all() == "and back");
    }
}

TEST_CASE("upstreams: a check introduces itself as nobody's connection")
{
    Scripted server("ready", 15 + 4);
    Daemon daemon(forward(server.address(), {"--send-proxy", "v1", "--check-interval", "10ms", "--check-send", "PING",
                                             "--check-expect", "ready"}));
    CHECK(eventually([&] { return server.served() > 3; }));
    CHECK(server.asked() == "PROXY UNKNOWN\r\nPING");
    CHECK(daemon.count("is down") == 0);
}

TEST_CASE("upstreams: who came back gets its share little by little")
{
    const Named good("good");
    const auto port = free_port();
    Daemon daemon(
        forward("127.0.0.1:" + port + "," + good.address(), {"--check-interval", "20ms", "--slow-start", "1h"}));
    REQUIRE(daemon.wait_for_line("127.0.0.1:" + port + " is down") != "");
    const Named back("back", port);
    REQUIRE(daemon.wait_for_line("127.0.0.1:" + port + " is up again") != "");
    std::map<std::string, int> count;
    for (int i = 0; i < 10; ++i)
        ++count[name_of_server(daemon)];
    CHECK(count["good"] >= 9);
}
