// SPDX-License-Identifier: MIT
// Reverse tunnels whose agents vanish and come back, whose users are stuck, and whose links carry garbage.
#include <atomic>
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

/// A server that sends without end.
class Flood {
public:
    std::string address() const { return "127.0.0.1:" + std::to_string(daemon_.port()); }

private:
    Daemon daemon_{{"exec", "--listen", "127.0.0.1:0", "--", "/usr/bin/yes", std::string(500, 'y')}};
};

/// Sends on all of them until none takes more.
void fill(const std::vector<UniqueFd>& sockets)
{
    const std::string data(65'536, 'd');
    int quiet = 0;
    REQUIRE(eventually([&] {
        bool sends = false;
        for (const auto& socket : sockets)
            while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                sends = true;
        quiet = sends ? 0 : quiet + 1;
        return quiet == 50;
    }));
}

}  // namespace

TEST_CASE("tunnel: users wait for an agent for a while, and are then refused")
{
    const Named a("a");
    TunnelServer patient({a.address()}), hasty({a.address()}, {"--agent-wait", "100ms"});
    RawClient waiting(patient.port()), refused(hasty.port());
    waiting.send("early");
    CHECK(refused.receive_all() == "");
    CHECK(refused.ended_by_reset());
    CHECK(hasty.wait_for_line("session ended: backend unavailable: no agent is connected") != "");
    TunnelAgent agent(patient);
    CHECK(waiting.receive_line() == "a");
    CHECK(waiting.receive(5) == "early");
    waiting.close();
    // One who leaves meanwhile is let go at once.
    TunnelServer lonely({a.address()});
    RawClient leaving(lonely.port());
    leaving.reset();
    CHECK(lonely.wait_for_line("session ended: client left") != "");
}

TEST_CASE("tunnel: an agent that is killed takes its sessions with it, by reset; the next one serves")
{
    const Named a("a");
    TunnelServer server({a.address()});
    auto agent = std::make_unique<TunnelAgent>(server);
    REQUIRE(server.has_agent());
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");
    agent->signal(SIGKILL);
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
    agent = std::make_unique<TunnelAgent>(server);
    RawClient next(server.port());
    CHECK(next.receive_line() == "a");
}

TEST_CASE("tunnel: agents that vanish and come back under load; what is answered is right, what is lost is reset")
{
    const Named a("a");
    TunnelServer server({a.address()}, {"--threads", "3"});
    std::atomic<bool> over = false;
    std::atomic<int> whole = 0, broken = 0, wrong = 0;
    std::vector<std::thread> users;
    for (unsigned i = 0; i < 4; ++i)
        users.emplace_back([&, i] {
            for (unsigned round = 0; !over; ++round) {
                const auto data = random_bytes(300'000, i * 1000 + round);
                RawClient client(server.port());
                bool is_sent = false;
                const auto answer = echo_of(client, data, true, &is_sent);
                const auto wanted = "a\n" + data;
                if (answer == wanted)
                    ++whole;
                else if (wanted.starts_with(answer) && !(is_sent && client.ended_in_order()))
                    ++broken;
                else
                    ++wrong;
            }
        });
    for (std::size_t i = 1; i <= 5; ++i) {
        TunnelAgent agent(server);
        REQUIRE(server.has_agent(i));
        const auto before = whole.load();
        CHECK(eventually([&] { return whole > before + 8; }));
        agent.signal(i % 2 == 0 ? SIGKILL : SIGTERM);
        if (i % 2 != 0)
            agent.signal(SIGTERM);
        CHECK(agent.wait());
    }
    over = true;
    TunnelAgent last(server);
    for (auto& user : users)
        user.join();
    CHECK(wrong == 0);
    CHECK(server.control("sessions\n") == "tunnel_dict:\n\ntotal sessions: 0\n");
}

TEST_CASE("tunnel: an agent that stands still for a while loses nothing")
{
    const Named a("a");
    TunnelServer server({a.address()});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    const auto data = random_bytes(20'000'000);
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");
    std::thread sender([&] {
        client.send(data);
        client.half_close();
    });
    auto got = client.receive(1'000'000);
    agent.signal(SIGSTOP);
    // The server does not wait for it.
    CHECK(server.control("sessions\n").ends_with("total sessions: 1\n"));
    agent.signal(SIGCONT);
    got += client.receive_all();
    sender.join();
    CHECK(got == data);
    CHECK(client.ended_in_order());
}

TEST_CASE("tunnel, ours and ours: a user and a target that are stuck hold up nobody, and lose nothing")
{
    const Named a("a");
    const Flood flood;
    const Listener deaf;
    TunnelServer server({a.address(), flood.address(), deaf.address()});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    // One takes nothing of a flood, and one sends to a target that does not read.
    RawClient stuck(server.port(2)), sender(server.port(3));
    const auto target = deaf.accept();
    REQUIRE(target);
    const auto much = random_bytes(30'000'000, 5);
    std::thread sending([&] { sender.send(much); });
    CHECK(stuck.receive(501) == std::string(500, 'y') + "\n");
    for (unsigned i = 0; i < 3; ++i) {
        const auto data = random_bytes(5'000'000, i);
        RawClient client(server.port(1));
        CHECK(client.receive_line() == "a");
        CHECK(echo_of(client, data, true) == data);
    }
    // Both go on where they were.
    CHECK(stuck.receive(501 * 20'000).size() == 501 * 20'000);
    std::string got(much.size(), '\0');
    CHECK(::recv(target.get(), got.data(), got.size(), MSG_WAITALL) == static_cast<ssize_t>(much.size()));
    CHECK(got == much);
    sending.join();
}

TEST_CASE("tunnel, ours and ours: users that stall do not keep a new one from its target, however many they are")
{
    const Named a("a");
    const Listener deaf("127.0.0.1:0", 64);
    TunnelServer server({a.address(), deaf.address()});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    std::vector<UniqueFd> stalled, targets;
    for (int i = 0; i < 40; ++i) {
        stalled.push_back(connect_to("127.0.0.1:" + std::to_string(server.port(2))));
        targets.push_back(deaf.accept());
        REQUIRE(targets.back());
    }
    fill(stalled);
    for (unsigned i = 0; i < 3; ++i) {
        const auto data = random_bytes(3'000'000, i);
        RawClient client(server.port(1));
        CHECK(client.receive_line() == "a");
        CHECK(echo_of(client, data, true) == data);
    }
    // The same from the targets' side, whose users do not read.
    fill(targets);
    RawClient client(server.port(1));
    CHECK(client.receive_line() == "a");
    const auto data = random_bytes(3'000'000, 4);
    CHECK(echo_of(client, data, true) == data);
}

TEST_CASE("tunnel: an agent has so many sessions at once as it may, and refuses the server further ones")
{
    const Named a("a");
    TunnelServer server({a.address()});
    TunnelAgent agent(server, {"--max-sessions", "2"});
    REQUIRE(server.has_agent());
    auto first = std::make_unique<RawClient>(server.port());
    RawClient second(server.port());
    CHECK(first->receive_line() == "a");
    CHECK(second.receive_line() == "a");
    RawClient third(server.port());
    CHECK(third.receive_all() == "");
    CHECK(third.ended_by_reset());
    CHECK(server.wait_for_line("is disconnected: EMFILE the agent has 2 sessions already") != "");
    CHECK(agent.wait_for_line("the server wants more sessions than the 2 that there may be") != "");
    first->reset();
    CHECK(eventually([&] { return RawClient(server.port()).receive_line() == "a"; }));
}

TEST_CASE(
    "tunnel, our server and the original's agent: a stuck user is ended when others wait; a slow one alone is not")
{
    const Named a("a");
    const Flood flood;
    TunnelServer server({a.address(), flood.address()}, {"--stall-timeout", "300ms", "--session-buffer", "64k"});
    OriginalAgent agent(server.agents_port());
    REQUIRE(server.has_agent());
    RawClient stuck(server.port(2));
    CHECK(stuck.receive(501) == std::string(500, 'y') + "\n");
    RawClient other(server.port(1));
    CHECK(other.receive_line() == "a");
    CHECK(server.wait_for_line("is disconnected: too slow: others wait for it") != "");
    CHECK(stuck.receive_all().size() < 10'000'000);
    const auto data = random_bytes(3'000'000);
    CHECK(echo_of(other, data, false) == data);
    other.close();
}

TEST_CASE("tunnel: a second agent takes over, or is refused")
{
    const Named a("a");
    SUBCASE("takes over")
    {
        TunnelServer server({a.address()});
        TunnelAgent first(server, {"--reconnect", "1h"});
        REQUIRE(server.has_agent());
        RawClient client(server.port());
        CHECK(client.receive_line() == "a");
        TunnelAgent second(server);
        REQUIRE(server.has_agent(2));
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        CHECK(server.wait_for_line(" takes over") != "");
        RawClient next(server.port());
        CHECK(next.receive_line() == "a");
        next.close();
    }
    SUBCASE("refused")
    {
        TunnelServer server({a.address()}, {"--second-agent", "refused"});
        auto first = std::make_unique<TunnelAgent>(server);
        REQUIRE(server.has_agent());
        TunnelAgent second(server);
        CHECK(server.wait_for_line(" is refused: agent ") != "");
        RawClient client(server.port());
        CHECK(client.receive_line() == "a");
        client.close();
        first.reset();
        CHECK(server.has_agent(2));
    }
}

TEST_CASE("tunnel: a displaced agent leaves the one alone that serves, also if it stood still when it was displaced")
{
    const Named a("a");
    TunnelServer server({a.address()});
    TunnelAgent first(server);
    REQUIRE(first.wait_for_line("the server is of our kind") != "");
    bool stands_still = false;
    SUBCASE("running") {}
    SUBCASE("stopped and continued") { stands_still = true; }
    if (stands_still)
        first.signal(SIGSTOP);
    TunnelAgent second(server);
    REQUIRE(server.has_agent(2));
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");
    first.signal(SIGCONT);
    const auto line = first.wait_for_line(" serves in our place; the server is asked again in 60 s");
    CHECK(line.find("agent 127.0.0.1:") != std::string::npos);
    const auto data = random_bytes(3'000'000);
    CHECK(echo_of(client, data, true) == data);
    CHECK(client.ended_in_order());
    CHECK(server.count(" takes over") == 1);
    // One that is started anew has not been displaced yet.
    TunnelAgent third(server);
    CHECK(server.has_agent(3));
    CHECK(second.wait_for_line(" serves in our place") != "");
    CHECK(RawClient(server.port()).receive_line() == "a");
}

TEST_CASE("tunnel: an agent that was displaced is refused while the one that serves answers, of whatever version it is")
{
    TunnelServer server({"127.0.0.1:1"});
    const auto port = "127.0.0.1:" + std::to_string(server.agents_port());
    const std::string anywhere = packed("127.0.0.1:1"), version = "instancer-tunnel 1 window=65536";
    Wire serving(connect_to(port)), asking(connect_to(port));
    serving.send("GRT", anywhere, anywhere, version);
    REQUIRE(server.has_agent());
    asking.send("GRT", anywhere, anywhere, version + " displaced");
    const auto question = serving.receive("CTL");
    REQUIRE(question);
    CHECK(server.wait_for_line(", which was displaced, asks to serve again; agent ") != "");
    serving.send("CTL", question->to, question->from, "here I am");
    std::string told;
    while (const auto message = asking.receive())
        told = message->data;
    CHECK(told.starts_with("instancer-tunnel 1 displaced by 127.0.0.1:"));
    CHECK(server.wait_for_line(" ended: ") != "");
    CHECK(server.count(" takes over") == 0);
}

TEST_CASE("tunnel: an original's agent is gone when it is reset, though a stuck user holds up its link")
{
    TunnelServer server({"10.0.0.1:80"}, {"--second-agent", "refused"});
    auto agent = std::make_unique<Wire>(daemon_test::connect_to("127.0.0.1:" + std::to_string(server.agents_port())));
    REQUIRE(server.has_agent());
    RawClient stuck(server.port());
    stuck.send("question");
    const auto question = agent->receive("FWD");
    REQUIRE(question);
    const timeval patience{1, 0};
    ::setsockopt(agent->fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (agent->send("FWD", question->to, question->from, std::string(8192, 'x'))) {}
    const linger at_once{1, 0};
    ::setsockopt(agent->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    agent.reset();
    CHECK(server.wait_for_line("the link to agent ") != "");
    const OriginalAgent next(server.agents_port());
    CHECK(server.has_agent(2));
}

TEST_CASE("tunnel: what is no message ends that link, with a reason, and nothing else")
{
    const Named a("a");
    TunnelServer server({a.address()});
    const std::pair<std::string, std::string> bad[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a message has an unknown command"},
        {std::string("\0\3xyz", 5), "a message has length 3; none is shorter than 17"},
        {std::string("\0\x12\0\1ALV", 7) + std::string(12, 'x') + "z", "an ALV message has 1 bytes of data, not 6"},
        {std::string("\0\x11\0\1FIN", 7) + std::string(12, 'x'), "a FIN message came that was not agreed on"}};
    for (const auto& [bytes, reason] : bad) {
        RawClient link(server.agents_port());
        link.send(bytes);
        link.receive_all();
        CHECK(server.wait_for_line(" ended: " + reason) != "");
    }
    TunnelAgent agent(server);
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");

    // The same at an agent: it comes back.
    const Listener listener;
    TunnelAgent other(listener.address());
    for (int i = 0; i < 2; ++i) {
        const auto link = listener.accept();
        REQUIRE(link);
        CHECK(::send(link.get(), "\0\0", 2, MSG_NOSIGNAL) == 2);
    }
    CHECK(other.wait_for_line(" ended: a message has length 0; none is shorter than 17", 2) != "");
}

TEST_CASE("tunnel: who comes and goes by the thousand leaves nothing behind")
{
    const Named a("a");
    TunnelServer server({a.address()});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    const auto descriptors = [](const Child& child) {
        const std::filesystem::directory_iterator all("/proc/" + std::to_string(child.pid()) + "/fd");
        return std::distance(begin(all), end(all));
    };
    const auto use = [&](int count) {
        for (int i = 0; i < count; ++i) {
            RawClient client(server.port());
            if (i % 3 == 0)
                client.receive_line();
            if (i % 2 == 0)
                client.send("x");
            if (i % 5 == 0)
                client.half_close();
            else if (i % 7 != 0)
                client.reset();
        }
    };
    use(20);
    REQUIRE(server.wait_for_line("session ended", 20) != "");
    REQUIRE(eventually([&] { return server.control("sessions\n") == "tunnel_dict:\n\ntotal sessions: 0\n"; }));
    const auto at_server = descriptors(server), at_agent = descriptors(agent);
    use(500);
    REQUIRE(server.wait_for_line("session ended", 520) != "");
    CHECK(eventually([&] { return descriptors(server) <= at_server && descriptors(agent) <= at_agent; }));
}
