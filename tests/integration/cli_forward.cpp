// SPDX-License-Identifier: MIT
// instancerd forward, with servers that say who they are.
#include <deque>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <forward.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::bytes_of;
using service_test::eventually;

TEST_CASE("forward: in turn, by weight, and both ends speak as if connected directly")
{
    const Named a("a"), b("b");
    Daemon daemon(forward(a.address() + "=2," + b.address()));
    std::map<std::string, int> count;
    for (int i = 0; i < 9; ++i)
        ++count[name_of_server(daemon)];
    CHECK(count["a"] == 6);
    CHECK(count["b"] == 3);

    RawClient client(daemon.port());
    CHECK(client.receive_line() != "");
    client.send("to be echoed");
    client.half_close();
    CHECK(client.receive_all() == "to be echoed");
    CHECK(client.ended_in_order());
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("forward: the least busy one, and the same one for the same client")
{
    const Named a("a"), b("b");
    SUBCASE("least-connections")
    {
        Daemon daemon(forward(a.address() + "," + b.address(), {"--balance", "least-connections"}));
        RawClient held(daemon.port());
        const auto busy = held.receive_line();
        for (int i = 0; i < 4; ++i) {
            RawClient other(daemon.port());
            CHECK(other.receive_line() != busy);
            other.half_close();
            CHECK(other.receive_all() == "");
            REQUIRE(daemon.wait_for_line("session ended", static_cast<std::size_t>(i) + 1) != "");
        }
    }
    SUBCASE("source-hash")
    {
        Daemon daemon(forward(a.address() + "," + b.address(), {"--balance", "source-hash"}));
        const auto home = name_of_server(daemon);
        for (int i = 0; i < 8; ++i)
            CHECK(name_of_server(daemon) == home);
    }
}

TEST_CASE("forward: a server that refuses is passed over, told of once, and used again when it is back")
{
    const Named good("good");
    auto dead_port = std::make_unique<Listener>();
    const auto port = dead_port->port();
    dead_port.reset();
    Daemon daemon(forward("127.0.0.1:" + port + "," + good.address(), {"--max-fails", "2", "--fail-timeout", "300ms"}));
    for (int i = 0; i < 6; ++i)
        CHECK(name_of_server(daemon) == "good");
    CHECK(daemon.wait_for_line("upstream 127.0.0.1:" + port + " takes no connections; it is tried last") != "");
    CHECK(daemon.count("takes no connections") == 1);

    const Named back("back", port);
    CHECK(eventually([&] { return name_of_server(daemon) == "back"; }));
    CHECK(daemon.wait_for_line("upstream 127.0.0.1:" + port + " takes connections again") != "");
}

TEST_CASE("forward: with no server left the client gets a reset at once, and the log says why")
{
    auto dead = std::make_unique<Listener>();
    const auto port = dead->port();
    dead.reset();
    Daemon daemon(forward("127.0.0.1:" + port));
    for (std::size_t i = 1; i <= 3; ++i) {
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        const auto line = daemon.wait_for_line("session ended: backend unavailable", i);
        CHECK(line.find("no upstream takes the connection: connecting to 127.0.0.1:" + port + ": Connection refused") !=
              std::string::npos);
    }
    const Named back("back", port);
    CHECK(name_of_server(daemon) == "back");
}

TEST_CASE("forward: a server's reset, and a client's, reach the other end")
{
    const Listener server;
    Daemon daemon(forward("127.0.0.1:" + server.port()));
    const auto accepted = [&] { return instancer::UniqueFd(::accept4(server.fd(), nullptr, nullptr, SOCK_CLOEXEC)); };
    const linger at_once{1, 0};
    {
        RawClient client(daemon.port());
        auto connection = accepted();
        ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        connection.reset();
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
    }
    {
        auto client = std::make_unique<RawClient>(daemon.port());
        auto connection = accepted();
        client->reset();
        char byte;
        CHECK(::recv(connection.get(), &byte, 1, 0) == -1);
        CHECK(errno == ECONNRESET);
    }
}

TEST_CASE("forward: connections end by reset when they are silent, half-closed or there for too long, and say why")
{
    const Named server("s");
    const std::pair<const char*, const char*> limits[] = {{"--session-idle", "session ended: idle"},
                                                          {"--half-close-timeout", "session ended: half-close timeout"},
                                                          {"--session-timeout", "session ended: session timeout"}};
    for (const auto& [option, end] : limits) {
        CAPTURE(option);
        const bool is_half_close = option == std::string("--half-close-timeout");
        // This server keeps its side open.
        const Listener silent;
        Daemon daemon(forward("127.0.0.1:" + silent.port(), {option, "100ms"}));
        RawClient client(daemon.port());
        if (is_half_close)
            client.half_close();
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        CHECK(daemon.wait_for_line(end) != "");
        CHECK(daemon.terminate() == 0);
    }
    // Whoever keeps to the limits meets none.
    Daemon daemon(forward(server.address(), {"--session-idle", "10m", "--half-close-timeout", "10m"}));
    CHECK(name_of_server(daemon) == "s");
    CHECK(daemon.wait_for_line("session ended: completed") != "");
}

TEST_CASE("forward: with busy polling bytes pass as without, and new clients and signals have their turn")
{
    const Named server("s");
    Daemon daemon(forward(server.address(), {"--busy-poll", "5ms", "--threads", "1"}));
    RawClient first(daemon.port());
    CHECK(first.receive_line() == "s");
    for (int i = 0; i < 50; ++i) {
        first.send("ping\n");
        REQUIRE(first.receive_line() == "ping");
        REQUIRE(name_of_server(daemon) == "s");
    }
    first.half_close();
    CHECK(first.receive_all() == "");
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("forward: to a Unix socket, by name, and by the words of the original")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon server({"exec", "--listen", "unix:" + path, "--", "/bin/cat"});
    const auto echoes = [](const Daemon& daemon) {
        RawClient client(daemon.port());
        client.send("x");
        client.half_close();
        return client.receive_all() == "x";
    };
    CHECK(echoes(Daemon(forward("unix:" + path))));
    const Named named("n");
    CHECK(name_of_server(Daemon(forward("localhost:" + named.port()))) == "n");
    CHECK(name_of_server(Daemon({"forward", "127.0.0.1", "0", "127.0.0.1", named.port()})) == "n");
    CHECK(name_of_server(Daemon({"forward", "127.0.0.1:0", named.address()})) == "n");
}

TEST_CASE("forward: a thousand that come and abort leave nothing behind")
{
    const Named server("s");
    Daemon daemon(forward(server.address(), {"--balance", "least-connections", "--threads", "1"}));
    CHECK(name_of_server(daemon) == "s");
    const auto descriptors = [&] {
        const std::filesystem::directory_iterator all("/proc/" + std::to_string(daemon.pid()) + "/fd");
        return std::distance(begin(all), end(all));
    };
    REQUIRE(daemon.wait_for_line("session ended") != "");
    const auto before = descriptors();
    for (int i = 0; i < 1000; ++i) {
        RawClient client(daemon.port());
        if (i % 2 == 0)
            client.send("x");
        if (i % 3 == 0)
            CHECK(client.receive_line() == "s");
        if (i % 5 == 0)
            client.half_close();
        else if (i % 7 != 0)
            client.reset();
    }
    REQUIRE(daemon.wait_for_line("session ended", 1001) != "");
    CHECK(eventually([&] { return descriptors() == before; }));
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("instance is running").find(" clients=0 ") != std::string::npos);
}

TEST_CASE("forward: programs of another service that flood their standard error are read with measure")
{
    const Named server("quiet");
    const TemporaryDirectory directory;
    const auto config = directory.file("c.json", R"({ "services": {
        "noisy": { "mode": "exec", "listen": "unix:noisy.sock", "command": ["/bin/sh", "-c", "exec yes >&2"] },
        "quiet": { "mode": "forward", "listen": "unix:quiet.sock", "to": ")" +
                                                     server.address() + R"(" } } })");
    Daemon daemon({"run", "--config", config}, 2);
    constexpr std::size_t floods = 16;
    std::deque<RawClient> noisy;
    while (noisy.size() < floods)
        noisy.emplace_back(directory.path("noisy.sock"));
    REQUIRE(eventually([&] { return bytes_of(daemon.pid(), "rchar") >= floods * 1024 * 1024; }));

    // What a daemon reads without end keeps it from all else.
    const auto begin = std::chrono::steady_clock::now();
    const auto before = bytes_of(daemon.pid(), "rchar");
    for (int i = 0; i < 100; ++i)
        CHECK(RawClient(directory.path("quiet.sock")).receive_line() == "quiet");
    const auto read = bytes_of(daemon.pid(), "rchar") - before;
    const auto seconds = static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin) / 1s);
    CHECK(read <= floods * (seconds + 2) * 1024 * 1024);
}
