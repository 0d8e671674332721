// SPDX-License-Identifier: MIT
// Whatever is between a client and its server, both must see what they would see if connected directly.
#include <transparency.hpp>

using namespace transparency;

namespace {

constexpr std::uint64_t conversations = 20;

void check(const RoutePtr& route)
{
    check_every_event(*route);
    check_random_conversations(*route, conversations);
}

}  // namespace

TEST_CASE("transparency: forward, IPv4") { check(forwarded(Family::tcp_v4, Family::tcp_v4)); }
TEST_CASE("transparency: forward, IPv6") { check(forwarded(Family::tcp_v6, Family::tcp_v6)); }
TEST_CASE("transparency: forward, Unix") { check(forwarded(Family::unix_socket, Family::unix_socket)); }
TEST_CASE("transparency: forward, IPv6 to Unix") { check(forwarded(Family::tcp_v6, Family::unix_socket)); }
TEST_CASE("transparency: forward, Unix to IPv4") { check(forwarded(Family::unix_socket, Family::tcp_v4)); }

TEST_CASE("transparency: between streams, IPv4") { check(between_streams(Family::tcp_v4, Family::tcp_v4)); }
TEST_CASE("transparency: between streams, IPv6") { check(between_streams(Family::tcp_v6, Family::tcp_v6)); }
TEST_CASE("transparency: between streams, Unix") { check(between_streams(Family::unix_socket, Family::unix_socket)); }

TEST_CASE("transparency: a process on a port, IPv4") { check(executed("port", "127.0.0.1")); }
TEST_CASE("transparency: a process on a port, IPv6") { check(executed("port", "::1")); }
TEST_CASE("transparency: a process on its standard streams") { check(executed("stdio")); }
TEST_CASE("transparency: a process with the client's socket") { check(executed("socket")); }

TEST_CASE("transparency: an answer that comes three seconds late")
{
    std::vector<RoutePtr> routes;
    for (const auto family : {Family::tcp_v4, Family::tcp_v6, Family::unix_socket}) {
        routes.push_back(forwarded(family, family));
        routes.push_back(between_streams(family, family));
    }
    for (const auto* io : {"port", "stdio", "socket"})
        routes.push_back(executed(io));
    check_late_answers(routes, 3s);
}
