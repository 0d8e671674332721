// SPDX-License-Identifier: MIT
// Reverse tunnels between ours and ours, and ours and the original's, in all pairings.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <service.hpp>
#include <socket_address.hpp>
#include <tunnel.hpp>
#include <tunnel_peer.hpp>

using namespace tunnel_test;
using service_test::eventually;

namespace {

constexpr std::size_t sizes[] = {0, 1, 8191, 8192, 8193, 65'536, 1'000'003, 12'000'000};

/// A server that reads a line and answers after a while, as one that must think.
class Thinker {
public:
    std::string address() const { return "127.0.0.1:" + std::to_string(daemon_.port()); }

private:
    Daemon daemon_{{"exec", "--listen", "127.0.0.1:0", "--", "/bin/sh", "-c", "read x; sleep 0.3; echo answer to $x"}};
};

void check_users_at_once(std::uint16_t port, int count, bool half_close)
{
    std::vector<std::thread> threads;
    std::vector<int> good(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            const auto data = random_bytes(1'000'000 + static_cast<std::size_t>(i) * 99'991, static_cast<unsigned>(i));
            RawClient client(port);
            good[static_cast<std::size_t>(i)] =
                client.receive_line() == "a" && echo_of(client, data, half_close) == data;
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(std::count(good.begin(), good.end(), 1) == count);
}

}  // namespace

TEST_CASE("tunnel, ours and ours: files of any size both ways; the server speaks first, half-close is carried")
{
    const Named a("a"), b("b");
    TunnelServer server({a.address(), b.address()});
    TunnelAgent agent(server);
    REQUIRE(agent.wait_for_line("the server is of our kind") != "");
    for (const auto size : sizes) {
        CAPTURE(size);
        const auto data = random_bytes(size);
        RawClient client(server.port(1));
        CHECK(client.receive_line() == "a");
        CHECK(echo_of(client, data, true) == data);
        CHECK(client.ended_in_order());
    }
    RawClient other(server.port(2));
    CHECK(other.receive_line() == "b");
    other.half_close();
    check_users_at_once(server.port(1), 8, true);
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
    agent.signal(SIGTERM);
    CHECK(agent.wait() == 0);
}

TEST_CASE("tunnel, ours and ours: resets reach the other end, and so does a target that refuses")
{
    const Listener target;
    TunnelServer server({target.address()});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    const linger at_once{1, 0};
    {
        RawClient client(server.port());
        auto connection = target.accept();
        REQUIRE(connection);
        CHECK(::send(connection.get(), "last words", 10, 0) == 10);
        CHECK(client.receive(10) == "last words");
        ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        connection.reset();
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
    }
    {
        RawClient client(server.port());
        const auto connection = target.accept();
        REQUIRE(connection);
        client.reset();
        char byte;
        CHECK(::recv(connection.get(), &byte, 1, 0) == -1);
        CHECK(errno == ECONNRESET);
    }
    std::string gone;
    {
        const Listener closed;
        gone = closed.address();
    }
    TunnelServer nowhere({gone});
    TunnelAgent second(nowhere);
    REQUIRE(nowhere.has_agent());
    RawClient client(nowhere.port());
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
    CHECK(nowhere.wait_for_line("is disconnected: ECONNREFUSED") != "");
}

TEST_CASE("tunnel, ours and ours: an agent connects to the targets alone that it may")
{
    const Named a("a"), b("b");
    TunnelServer server({a.address(), b.address()});
    TunnelAgent agent(server, {"--targets", "10.0.0.0/8", "--targets", a.address()});
    REQUIRE(server.has_agent());
    RawClient allowed(server.port(1));
    CHECK(allowed.receive_line() == "a");
    RawClient refused(server.port(2));
    CHECK(refused.receive_all() == "");
    CHECK(refused.ended_by_reset());
    CHECK(agent.wait_for_line(b.address() + ", which is not on the list of targets") != "");
}

TEST_CASE("tunnel, our server and the original's agent: files of any size, one connection for each user")
{
    const Named a("a");
    TunnelServer server({a.address()});
    OriginalAgent agent(server.agents_port());
    REQUIRE(server.has_agent());
    int users = 0;
    for (const auto size : sizes) {
        CAPTURE(size);
        const auto data = random_bytes(size);
        // Who speaks first opens the session; data that comes at once must not open another one.
        RawClient client(server.port());
        CHECK(echo_of(client, data, false) == ("a\n" + data).substr(0, size));
        CHECK(client.receive(2).size() == 2);
        CHECK(agent.connects() == ++users);
    }
    // Who says nothing is connected all the same.
    RawClient silent(server.port());
    CHECK(silent.receive_line() == "a");
    check_users_at_once(server.port(), 5, false);
}

TEST_CASE("tunnel, our server and the original's agent: a half-close does not lose the answer, a refusal is a reset")
{
    const Thinker thinker;
    TunnelServer server({thinker.address(), "127.0.0.1:1"});
    OriginalAgent agent(server.agents_port());
    REQUIRE(server.has_agent());
    RawClient client(server.port(1));
    client.send("question\n");
    client.half_close();
    CHECK(client.receive_all() == "answer to question\n");
    CHECK(client.ended_in_order());
    RawClient refused(server.port(2));
    CHECK(refused.receive_all() == "");
    CHECK(refused.ended_by_reset());
}

TEST_CASE("tunnel, our server and the original's agent: a held half-close ends when the target stays silent")
{
    const Named a("a");
    TunnelServer server({a.address()}, {"--half-close-hold", "200ms"});
    OriginalAgent agent(server.agents_port());
    REQUIRE(server.has_agent());
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");
    client.half_close();
    CHECK(client.receive_all() == "");
    CHECK(server.wait_for_line("nothing came after its half-close") != "");
}

TEST_CASE("tunnel, the original's server and our agent: files of any size, several users")
{
    const Named a("a");
    OriginalServer server(a.address());
    TunnelAgent agent(server.agents_address());
    REQUIRE(agent.wait_for_line("connected to the server") != "");
    for (const auto size : sizes) {
        if (size == 0)
            continue;
        CAPTURE(size);
        const auto data = random_bytes(size);
        RawClient client(server.users_port());
        CHECK(echo_of(client, data, false) == ("a\n" + data).substr(0, size));
        CHECK(client.receive(2).size() == 2);
    }
    // Our agent knows a session from its first message on.
    const Thinker thinker;
    OriginalServer thinking(thinker.address());
    TunnelAgent second(thinking.agents_address());
    REQUIRE(second.wait_for_line("connected to the server") != "");
    RawClient client(thinking.users_port());
    client.send("ques");
    client.send("tion\n");
    CHECK(client.receive_all() == "answer to question\n");
    CHECK(client.ended_in_order());
}

TEST_CASE("tunnel: signs of life, in both pairings")
{
    OriginalServer server("127.0.0.1:1");
    TunnelAgent agent(server.agents_address(), {"--keep-alive", "50ms"});
    const auto asked = server.wait_for("ALV", 3);
    REQUIRE(asked);
    CHECK(asked->data.size() == 6);
    CHECK(asked->from == packed(server.agents_address()));
    CHECK(asked->to == asked->from);
    CHECK(agent.wait_for_line("the server is alive; round trip ", 2) != "");

    TunnelServer ours({"127.0.0.1:1"});
    OriginalAgent original(ours.agents_port());
    const auto answer = original.ask(std::string("\1\2\3\0\5\6", 6));
    REQUIRE(answer);
    CHECK(answer->data == std::string("\1\2\3\0\5\6", 6));
    CHECK(answer->from == packed("127.0.0.1:8443"));
}

TEST_CASE("tunnel: an agent that gets no sign of life connects again")
{
    const Listener silent;
    TunnelAgent agent(silent.address(), {"--keep-alive", "50ms"});
    const auto first = silent.accept();
    REQUIRE(first);
    CHECK(agent.wait_for_line("connected to the server") != "");
    // It waits 20 s for an answer; a server that goes is seen at once.
    ::shutdown(first.get(), SHUT_RDWR);
    CHECK(agent.wait_for_line("the link to the server") != "");
    CHECK(silent.accept());
}

TEST_CASE("tunnel: our agent answers CTL by a message")
{
    OriginalServer server("127.0.0.1:1");
    TunnelAgent agent(server.agents_address());
    const auto wire = server.wire();
    REQUIRE(wire);
    wire->send("CTL", packed("127.0.0.1:1"), packed("127.0.0.1:2"), "status");
    const auto answer = server.wait_for("CTL");
    REQUIRE(answer);
    CHECK(answer->from == packed("127.0.0.1:2"));
    CHECK(answer->data == "instancer agent, 0 sessions");
}

TEST_CASE("tunnel: users of IPv6 and of Unix sockets have made-up addresses on the link, and sessions shows both")
{
    const Named a("a");
    TunnelServer server({a.address()}, {"--route", "[::1]:0 " + a.address()});
    OriginalAgent agent(server.agents_port());
    REQUIRE(server.has_agent());
    const auto line = server.wait_for_line(": listening on [::1]:");
    REQUIRE(line != "");
    const auto user = connect_to("[::1]:" + line.substr(line.rfind(':') + 1));
    REQUIRE(user);
    char text[2] = {};
    CHECK(::recv(user.get(), text, 2, MSG_WAITALL) == 2);
    CHECK(std::string(text, 2) == "a\n");
    const auto sessions = server.control("sessions\n");
    CHECK(sessions.starts_with("tunnel_dict:\n('240.0.0.1', 1)->('127.0.0.1', " + a.port() + "): opened [::1]:"));
    CHECK(sessions.ends_with("\n\ntotal sessions: 1\n"));
}
