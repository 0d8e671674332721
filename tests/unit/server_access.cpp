// SPDX-License-Identifier: MIT
// A server behind an AccessControl: who is let in, what becomes of the others, and clients that a proxy introduces.
#include <filesystem>
#include <iterator>

#include <doctest/doctest.h>

#include <instancer/authenticator/token.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;
using namespace std::string_literals;

namespace {

Network network(const char* address, unsigned bits = 128) { return Network(asio::ip::make_address(address), bits); }

Setup gated(AccessControlOptions options)
{
    Setup setup;
    setup.access = std::move(options);
    return setup;
}

/// 127.0.0.2 is not let in.
Setup denying(WhenDenied when_denied, std::size_t max_held = 1000, std::chrono::nanoseconds hold_time = 1h)
{
    AccessControlOptions options;
    options.rules.add(false, network("127.0.0.2"));
    options.when_denied = when_denied;
    options.max_held = max_held;
    options.hold_time = hold_time;
    return gated(std::move(options));
}

/// 127.0.0.1 is a proxy.
AccessControlOptions behind_proxy()
{
    AccessControlOptions options;
    options.proxies.add(true, network("127.0.0.1"));
    return options;
}

const std::string from_192 = "PROXY TCP4 192.0.2.7 10.0.0.1 4000 443\r\n";

std::ptrdiff_t open_descriptors() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

}  // namespace

TEST_CASE("access: a denied client is reset, logged once with the rule, and nobody else is touched")
{
    ServerFixture fixture(denying(WhenDenied::reset));
    fixture.start();
    auto welcome = fixture.joined();
    auto client = fixture.connect("127.0.0.2");
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::access_denied);
    CHECK(fixture.summary().detail == "the rule for 127.0.0.2 denies it");
    CHECK(fixture.summary().client.to_string().starts_with("127.0.0.2:"));
    CHECK(fixture.backend.instances().size() == 1);
    CHECK(fixture.server.sessions() == 1);
}

TEST_CASE("access: a denied client may be closed instead, in order, whatever it has sent")
{
    ServerFixture fixture(denying(WhenDenied::close));
    auto client = fixture.connect("127.0.0.2");
    fixture.send(client, std::string(5000, 'x'));
    fixture.start();
    CHECK(fixture.rest(client) == "");
    CHECK(fixture.end() == SessionEnd::access_denied);
}

TEST_CASE("access: a denied client may be held: in silence, until it leaves")
{
    const auto descriptors = open_descriptors();
    {
        ServerFixture fixture(denying(WhenDenied::hold));
        fixture.start();
        const auto before = open_descriptors();
        auto client = fixture.connect("127.0.0.2");
        fixture.send(client, "anybody there?");
        CHECK(fixture.end() == SessionEnd::access_denied);
        fixture.loop.settle();
        CHECK(try_read(client) == "would block");
        CHECK(fixture.server.sessions() == 0);
        SUBCASE("it closes")
        {
            client.close();
            CHECK(fixture.loop.until([&] { return open_descriptors() == before; }));
        }
        SUBCASE("it closes after more than anybody keeps for it")
        {
            fixture.send(client, std::string(400'000, 'x'));
            client.close();
            CHECK(fixture.loop.until([&] { return open_descriptors() == before; }));
        }
        SUBCASE("it resets")
        {
            client.abort();
            CHECK(fixture.loop.until([&] { return open_descriptors() == before; }));
        }
        SUBCASE("or the server stops")
        {
            fixture.server.drain(0s);
            CHECK(fixture.rest(client) == " reset");
        }
    }
    CHECK(open_descriptors() == descriptors);
}

TEST_CASE("access: only so many clients are held, and only for so long")
{
    SUBCASE("many")
    {
        ServerFixture fixture(denying(WhenDenied::hold, 2));
        fixture.start();
        auto one = fixture.connect("127.0.0.2"), two = fixture.connect("127.0.0.2");
        auto three = fixture.connect("127.0.0.2");
        CHECK(fixture.rest(three) == " reset");
        CHECK(try_read(one) == "would block");
        CHECK(try_read(two) == "would block");
    }
    SUBCASE("long")
    {
        ServerFixture fixture(denying(WhenDenied::hold, 1000, 20ms));
        fixture.start();
        const auto begin = std::chrono::steady_clock::now();
        auto client = fixture.connect("127.0.0.2");
        CHECK(fixture.rest(client) == " reset");
        CHECK(std::chrono::steady_clock::now() >= begin + 20ms);
    }
}

TEST_CASE("access: new rules hold for new clients")
{
    ServerFixture fixture(denying(WhenDenied::reset));
    fixture.start();
    auto stays = fixture.joined();
    AccessRules rules;
    rules.add(false, network("127.0.0.0", 8));
    fixture.access->set_rules(std::move(rules));
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.summary().detail == "the rule for 127.0.0.0/8 denies it");
    auto& instance = fixture.last_connection();
    fixture.send(stays, "still here");
    CHECK(fixture.arrives(instance, "still here"));
}

TEST_CASE("access: more connections than there may be are reset, until one has gone")
{
    AccessControlOptions options;
    std::string text;
    SUBCASE("of all")
    {
        options.max_connections = 2;
        text = "as many connections as there may be: 2 (max-connections)";
    }
    SUBCASE("of one source")
    {
        options.max_per_source = 2;
        text = "as many connections of 127.0.0.1 as there may be: 2 (max-per-source)";
    }
    ServerFixture fixture(gated(std::move(options)));
    fixture.start();
    auto one = fixture.joined(), two = fixture.joined();
    auto three = fixture.connect();
    CHECK(fixture.rest(three) == " reset");
    CHECK(fixture.end() == SessionEnd::limit_reached);
    CHECK(fixture.summary().detail == text);
    if (text.find("127.0.0.1") != text.npos)
        auto neighbour = fixture.connect("127.0.0.2");
    one.abort();
    REQUIRE(fixture.loop.until([&] { return fixture.events.count_beginning("session 1: ") == 1; }));
    auto four = fixture.joined();
    fixture.send(four, "x");
    CHECK(fixture.arrives(fixture.last_connection(), "x"));
}

TEST_CASE("access: a client that is denied takes nobody's place")
{
    AccessControlOptions options;
    options.rules.add(false, network("127.0.0.2"));
    options.when_denied = WhenDenied::hold;
    options.max_connections = 1;
    ServerFixture fixture(gated(std::move(options)));
    fixture.start();
    auto denied = fixture.connect("127.0.0.2");
    CHECK(fixture.end() == SessionEnd::access_denied);
    auto client = fixture.joined();
}

TEST_CASE("access: the client is who the PROXY header names, and what follows is the session's")
{
    const asio::ip::tcp::endpoint peer(asio::ip::make_address("2001:db8::1"), 1);
    const asio::ip::tcp::endpoint local(asio::ip::make_address("::1"), 2);
    const ClientInfo named(peer, local);
    auto version = ProxyVersion::v1;
    bool at_once = true;
    SUBCASE("version 1") {}
    SUBCASE("version 1, byte by byte") { at_once = false; }
    SUBCASE("version 2") { version = ProxyVersion::v2; }
    SUBCASE("version 2, byte by byte")
    {
        version = ProxyVersion::v2;
        at_once = false;
    }
    const auto header = encode_proxy_header(version, named);
    ServerFixture fixture(gated(behind_proxy()));
    fixture.start();
    auto proxy = fixture.connect();
    if (at_once) {
        fixture.send(proxy, header + "question");
    } else {
        for (const char byte : header) {
            CHECK(fixture.backend.instances().empty());
            fixture.send(proxy, std::string(1, byte));
            fixture.loop.settle();
        }
        fixture.send(proxy, "question");
    }
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    fixture.loop.settle();
    CHECK(fixture.arrives(fixture.last_connection(), "question"));
    proxy.abort();
    CHECK(fixture.summary().client.to_string() == "[2001:db8::1]:1");
    CHECK(fixture.summary().client.local() == local);
    CHECK(fixture.summary().bytes_up == 8);
}

TEST_CASE("access: a proxy that speaks for itself is its own client; others need no header")
{
    ServerFixture fixture(gated(behind_proxy()));
    fixture.start();
    Stream client;
    std::string name = "127.0.0.1:";
    SUBCASE("a health check")
    {
        client = fixture.connect();
        fixture.send(client, encode_proxy_header(ProxyVersion::v2, ClientInfo()));
    }
    SUBCASE("a client that it does not know")
    {
        client = fixture.connect();
        fixture.send(client, encode_proxy_header(ProxyVersion::v1, ClientInfo()));
    }
    SUBCASE("somebody else's header is data")
    {
        client = fixture.connect("127.0.0.3");
        fixture.send(client, from_192);
        name = "127.0.0.3:";
    }
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    fixture.loop.settle();
    fixture.send(client, "!");
    CHECK(fixture.arrives(fixture.last_connection(), name == "127.0.0.3:" ? from_192 + "!" : "!"));
    client.abort();
    CHECK(fixture.summary().client.to_string().starts_with(name));
}

TEST_CASE("access: without a right header in time no byte is sent, and the log names the address")
{
    auto setup = gated(behind_proxy());
    auto end = SessionEnd::authentication_failed;
    std::string sent, why;
    bool ends = false;
    SUBCASE("none")
    {
        sent = "GET / HTTP/1.1\r\n\r\n";
        why = " is malformed: there is no PROXY header";
    }
    SUBCASE("wrong")
    {
        sent = "PROXY TCP4 192.0.2.7 10.0.0.256 4000 443\r\n" + std::string(5000, 'x');
        why = " is malformed: an address of it is no IPv4 address";
    }
    SUBCASE("half of one, and the end")
    {
        sent = from_192.substr(0, 20);
        why = " ended after 20 bytes";
        ends = true;
    }
    SUBCASE("half of one, and silence")
    {
        sent = from_192.substr(0, 20);
        end = SessionEnd::auth_timeout;
        setup.server.auth_timeout = 30ms;
    }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    fixture.send(client, sent);
    if (ends)
        CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == "");
    CHECK(fixture.end() == end);
    CHECK(fixture.summary().client.to_string().starts_with("127.0.0.1:"));
    if (!why.empty())
        CHECK(fixture.summary().detail ==
              "introduction: the PROXY header of " + fixture.summary().client.to_string() + why);
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("access: rules and limits hold for the client that the header names")
{
    AccessControlOptions options = behind_proxy();
    options.rules.add(false, network("192.0.2.0", 24));
    options.rules.add(true, std::nullopt);
    options.max_per_source = 1;
    options.when_denied = WhenDenied::hold;
    ServerFixture fixture(gated(std::move(options)));
    fixture.start();
    auto denied = fixture.connect();
    fixture.send(denied, from_192 + "hello");
    CHECK(fixture.end() == SessionEnd::access_denied);
    CHECK(fixture.summary().client.to_string() == "192.0.2.7:4000");
    CHECK(try_read(denied) == "would block");

    const auto connect_as = [&](const std::string& address) {
        auto client = fixture.connect();
        fixture.send(client, "PROXY TCP6 " + address + " ::1 1 2\r\n");
        fixture.loop.settle();
        return client;
    };
    auto one = connect_as("2001:db8::1"), other = connect_as("2001:db8:0:1::1");
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 2; }));
    auto second = connect_as("2001:db8::2");
    CHECK(fixture.rest(second) == " reset");
    REQUIRE(fixture.events.sessions().size() == 2);
    CHECK(fixture.events.sessions()[1].end == SessionEnd::limit_reached);
    CHECK(fixture.events.sessions()[1].detail ==
          "introduction: as many connections of 2001:db8::/64 as there may be: 1 (max-per-source)");
    one.abort();
    REQUIRE(fixture.loop.until([&] { return fixture.events.sessions().size() == 3; }));
    auto third = connect_as("2001:db8::3");
    CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 3; }));
}

TEST_CASE("access: a proxy that is slow with its header has its place meanwhile, and loses it with its time")
{
    AccessControlOptions options = behind_proxy();
    options.max_connections = 1;
    auto setup = gated(std::move(options));
    setup.server.auth_timeout = 30ms;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto slow = fixture.connect();
    auto other = fixture.connect("127.0.0.3");
    CHECK(fixture.rest(other) == " reset");
    CHECK(fixture.end() == SessionEnd::limit_reached);
    CHECK(fixture.rest(slow) == "");
    REQUIRE(fixture.loop.until([&] { return fixture.events.sessions().size() == 2; }));
    auto again = fixture.connect("127.0.0.3");
    CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
}

TEST_CASE("access: header and greeting come in one piece, and nothing of either is lost")
{
    auto setup = gated(behind_proxy());
    const std::vector<Token> tokens{Token(std::string(Token::size, 'x'))};
    setup.authenticator = std::make_unique<TokenAuthenticator>(tokens);
    setup.traits.takes_client_socket(true).single_use(true);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    fixture.send(client, from_192 + std::string(Token::size, 'x') + "id" + "hello");
    REQUIRE(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
    fixture.loop.settle();
    char text[6] = {};
    CHECK(::recv(fixture.instance(1).client_socket().get(), text, 5, 0) == 5);
    CHECK(text == "hello"s);
    fixture.instance(1).exit();
    CHECK(fixture.end() == SessionEnd::instance_ended);
}

TEST_CASE("access: stopped while a client has not introduced itself")
{
    ServerFixture fixture(gated(behind_proxy()));
    fixture.start();
    auto client = fixture.connect();
    fixture.send(client, from_192.substr(0, 20));
    fixture.loop.settle();
    fixture.server.stop();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::stopped);
}
