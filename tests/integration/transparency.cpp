// SPDX-License-Identifier: MIT
// Whatever is between a client and its server, both must see what they would see if connected directly.
#include <transparency.hpp>

#include <filesystem>

#include <netinet/tcp.h>
#include <sys/syscall.h>

using daemon_test::Daemon;
using daemon_test::Listener;
using namespace transparency;

namespace {

constexpr std::uint64_t conversations = 20;

void check(const RoutePtr& route)
{
    check_every_event(*route);
    check_random_conversations(*route, conversations);
}

RoutePtr inside(Within within, Family family) { return embedded(within, family, family); }

}  // namespace

TEST_CASE("transparency: forward, IPv4") { check(forwarded(Family::tcp_v4, Family::tcp_v4)); }
TEST_CASE("transparency: forward, IPv6") { check(forwarded(Family::tcp_v6, Family::tcp_v6)); }
TEST_CASE("transparency: forward, Unix") { check(forwarded(Family::unix_socket, Family::unix_socket)); }
TEST_CASE("transparency: forward, IPv6 to Unix") { check(forwarded(Family::tcp_v6, Family::unix_socket)); }
TEST_CASE("transparency: forward, Unix to IPv4") { check(forwarded(Family::unix_socket, Family::tcp_v4)); }

TEST_CASE("transparency: between streams, IPv4") { check(inside(Within::streams, Family::tcp_v4)); }
TEST_CASE("transparency: between streams, IPv6") { check(inside(Within::streams, Family::tcp_v6)); }
TEST_CASE("transparency: between streams, Unix") { check(inside(Within::streams, Family::unix_socket)); }
TEST_CASE("transparency: with a hook, IPv4") { check(inside(Within::hook, Family::tcp_v4)); }
TEST_CASE("transparency: with a hook, IPv6") { check(inside(Within::hook, Family::tcp_v6)); }
TEST_CASE("transparency: with a hook, Unix") { check(inside(Within::hook, Family::unix_socket)); }
TEST_CASE("transparency: with a hook of coroutines, IPv4") { check(inside(Within::coroutine_hook, Family::tcp_v4)); }

TEST_CASE("transparency: a process on a port, IPv4") { check(executed("port", "127.0.0.1")); }
TEST_CASE("transparency: a process on a port, IPv6") { check(executed("port", "::1")); }
TEST_CASE("transparency: a process on its standard streams") { check(executed("stdio")); }
TEST_CASE("transparency: a process with the client's socket") { check(executed("socket")); }

TEST_CASE("transparency: an answer that comes three seconds late")
{
    std::vector<RoutePtr> routes;
    for (const auto family : {Family::tcp_v4, Family::tcp_v6, Family::unix_socket}) {
        routes.push_back(forwarded(family, family));
        routes.push_back(inside(Within::streams, family));
        routes.push_back(inside(Within::hook, family));
    }
    for (const auto* io : {"port", "stdio", "socket"})
        routes.push_back(executed(io));
    check_late_answers(routes, 3s);
}

TEST_CASE("transparency: where nobody listens the client gets a reset, never an end in order")
{
    for (const auto family : {Family::tcp_v4, Family::tcp_v6}) {
        const daemon_test::TemporaryDirectory directory;
        Listener closed(any_address(family, directory, {}));
        closed.close();
        const Daemon daemon({"forward", "--listen", any_address(family, directory, {}), "--to", closed.address()});
        End client(Line(daemon_test::connect_to(daemon.address())), 1);
        client.read_to_end();
        CHECK(client.seen().data == "");
        CHECK(client.seen().ended == Ended::by_reset);
    }
}

TEST_CASE("transparency: no delay and keepalive on both sides")
{
    const Listener server;
    const Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", server.address()});
    const auto client = daemon_test::connect_to(daemon.address());
    const auto served = server.accept();
    char byte = 'x';
    REQUIRE(::send(client.get(), &byte, 1, 0) == 1);
    REQUIRE(::recv(served.get(), &byte, 1, 0) == 1);  // Both connections are as they are to be now.

    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, daemon.pid(), 0)));
    static constexpr std::pair<int, int> wanted[] = {{IPPROTO_TCP, TCP_NODELAY}, {SOL_SOCKET, SO_KEEPALIVE}};
    int connections = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(daemon.pid()) + "/fd")) {
        const int number = std::stoi(entry.path().filename());
        const UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(copy.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.ss_family != AF_INET)
            continue;
        ++connections;
        for (const auto& [level, name] : wanted) {
            int on = 0;
            size = sizeof on;
            CHECK(::getsockopt(copy.get(), level, name, &on, &size) == 0);
            CHECK(on != 0);
        }
    }
    CHECK(connections == 2);
}
