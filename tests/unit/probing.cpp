// SPDX-License-Identifier: MIT
// A client that has ended its sending is asked whether it is still there, wherever it waits.
#include <array>
#include <string>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bridged.hpp"
#include "server_fixture.hpp"

using namespace bridged;
using instancer::Readiness;
using instancer::SessionEnd;
using server_fixture::ServerFixture;
using server_fixture::Setup;

namespace {

using Keepalive = std::array<int, 4>;  // On; seconds until the first probe, between two of them; how many.

const Keepalive usual = {1, 600, 60, 5}, probed = {1, 15, 15, 8};

int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

Keepalive keepalive_of(int fd)
{
    return {option_of(fd, SOL_SOCKET, SO_KEEPALIVE), option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE),
            option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), option_of(fd, IPPROTO_TCP, TCP_KEEPCNT)};
}

void set_seconds(int fd, int option)
{
    const int one = 1;
    REQUIRE(::setsockopt(fd, IPPROTO_TCP, option, &one, sizeof one) == 0);
}

/// What takes a minute and a quarter elsewhere: the system of a client that closes forgets the connection after a
/// second, and ours asks after a second.
void close_for_good(Stream& client, int near_end)
{
    set_seconds(client.native_handle(), TCP_LINGER2);
    client.close();
    set_seconds(near_end, TCP_KEEPIDLE);
    set_seconds(near_end, TCP_KEEPINTVL);
}

/// Our end of a client's connection.
int near_end_of(Stream& client)
{
    sockaddr_in wanted{}, peer{};
    socklen_t size = sizeof wanted;
    REQUIRE(::getsockname(client.native_handle(), reinterpret_cast<sockaddr*>(&wanted), &size) == 0);
    for (int fd = 3; fd < 1024; ++fd) {
        size = sizeof peer;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == wanted.sin_port && peer.sin_addr.s_addr == wanted.sin_addr.s_addr)
            return fd;
    }
    FAIL("nobody holds the other end");
    return -1;
}

}  // namespace

TEST_CASE("probing: a client that has ended its sending is probed; one that closed for good is found gone")
{
    on_each_path([](Path path) {
        auto client_pair = tcp();
        const int near_end = client_pair.second.get();
        Bridged bridged(std::move(client_pair), unix_domain(), path);
        bridged.loop.settle();
        CHECK(keepalive_of(near_end) == usual);
        REQUIRE(bridged.client.shutdown_send());
        CHECK(bridged.loop.run(read_all(bridged.server)) == "");
        CHECK(bridged.loop.until([&] { return keepalive_of(near_end) == probed; }));
        // It may have half-closed: what the instance says still arrives.
        bridged.loop.run(bridged.server.write_all("answer"));
        CHECK(bridged.loop.run(read_exactly(bridged.client, 6)) == "answer");

        close_for_good(bridged.client, near_end);
        CHECK(bridged.end() == BridgeEnd::client_reset);
    });
}

TEST_CASE("probing: the end of a client counts before the instance has taken what was sent before it")
{
    on_each_path([](Path path) {
        auto client_pair = tcp();
        const int near_end = client_pair.second.get();
        Bridged bridged(std::move(client_pair), unix_domain(), path);
        // The bridge reads until the instance takes no more.
        const std::string piece(50'000, 'x');
        while (bridged.client.try_write(piece)) {
            bridged.loop.settle();
            if (bridged.client.unsent() > 0)
                break;
        }
        bridged.loop.settle();
        REQUIRE(bridged.client.shutdown_send());
        bridged.loop.run(read_exactly(bridged.server, 200'000));
        CHECK(bridged.loop.until([&] { return keepalive_of(near_end) == probed; }));
    });
}

TEST_CASE("probing: a client that waits in the queue, and leaves it when it is gone")
{
    Setup setup;
    setup.pool.max_instances = 1;
    setup.pool.when_full = instancer::WhenFull::queue;
    setup.pool.queue_timeout = 0s;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    auto second = fixture.connect();
    const int near_end = near_end_of(second);
    CHECK(keepalive_of(near_end) == usual);
    fixture.send(second, "unread");
    REQUIRE(second.shutdown_send());
    CHECK(fixture.loop.until([&] { return keepalive_of(near_end) == probed; }));
    CHECK(fixture.server.sessions() == 2);
    close_for_good(second, near_end);
    CHECK(fixture.end() == SessionEnd::client_left);
    CHECK(keepalive_of(near_end_of(first)) == usual);
}

TEST_CASE("probing: a client whose socket the instance has, and that is reset, takes its instance along")
{
    Setup setup;
    setup.traits.takes_client_socket(true).single_use(true);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
    SUBCASE("it resets")
    {
        fixture.loop.settle();
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_reset);
        CHECK(fixture.loop.until([&] { return fixture.backend.running() == 0; }));
    }
    SUBCASE("it ends its sending before, and closes for good")
    {
        REQUIRE(client.shutdown_send());
        fixture.loop.settle();
        CHECK(fixture.server.sessions() == 1);
        close_for_good(client, fixture.instance(1).client_socket().get());
        CHECK(fixture.end() == SessionEnd::client_reset);
        CHECK(fixture.loop.until([&] { return fixture.backend.running() == 0; }));
    }
    SUBCASE("both ends close in order while the instance goes on")
    {
        REQUIRE(client.shutdown_send());
        REQUIRE(::shutdown(fixture.instance(1).client_socket().get(), SHUT_WR) == 0);
        fixture.loop.settle();
        CHECK(fixture.server.sessions() == 1);
        fixture.instance(1).exit();
        CHECK(fixture.end() == SessionEnd::instance_ended);
    }
}
