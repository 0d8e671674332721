// SPDX-License-Identifier: MIT
// What the two ends of a link say about the link, and how messages go out. Each message is written as
// `COMMAND SENDER>RECEIVER DATA`.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/link_protocol.hpp>

using namespace instancer;
using namespace std::chrono_literals;
using detail::LinkProtocol;

namespace {

const TunnelAddress here(1, 10), there(2, 20), user(3, 30), target(4, 40);
const std::string offer = "instancer-tunnel 1 window=65536", foreign = "instancer";

class End final : public TunnelObserver {
public:
    explicit End(TunnelRole role, bool displaced = false) : link(role, options(), here, there, *this, now, displaced) {}

    /// The messages that wait, a line each; taken from it.
    std::vector<std::string> says()
    {
        std::vector<std::string> lines;
        TunnelMessageDecoder decoder;
        REQUIRE(decoder.feed(link.output().front(), [&](const TunnelMessage& message) {
            const auto command = detail::tunnel_command_names[static_cast<std::size_t>(message.command)];
            lines.push_back(std::string(command) + " " + std::to_string(message.from.port()) + ">" +
                            std::to_string(message.to.port()) + " " + std::string(message.text()));
            numbers.push_back(message.sequence);
            return Result<void>();
        }));
        link.output().clear();
        return lines;
    }

    static TunnelMessage message(TunnelCommand command, std::string_view text)
    {
        return TunnelMessage(command, there, here, std::as_bytes(std::span(text)));
    }

    LinkProtocol::TimePoint now{1h};
    std::vector<std::string> events;
    std::vector<std::uint16_t> numbers;

private:
    static TunnelOptions options()
    {
        TunnelOptions options;
        options.session_buffer = 65536;
        return options;
    }

    void displaced(std::string_view by) override { events.push_back("displaced by " + std::string(by)); }
    void round_trip(std::chrono::nanoseconds time) override { events.push_back(std::to_string(time / 1ms) + " ms"); }
    std::string control(std::string_view text) override
    {
        events.push_back("asked " + std::string(text));
        return "answer";
    }

public:
    LinkProtocol link;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("link protocol: an agent makes an offer at once, a server only to an agent that has made one")
{
    End agent(TunnelRole::agent), server(TunnelRole::server);
    CHECK(agent.says() == Lines{"GRT 10>20 " + offer});
    CHECK(server.says() == Lines{"GRT 10>20 " + foreign});
    CHECK(!server.link.negotiated());
    CHECK(server.link.peer_window() == 0);
    CHECK(server.link.take_greeting("instancer-tunnel 1 window=5000"));
    CHECK(server.link.negotiated());
    CHECK(server.link.peer_window() == 5000);
    server.link.offer(false, server.now);
    CHECK(server.says() == Lines{"GRT 10>20 " + offer});
    // Nothing is negotiated twice.
    CHECK(!server.link.take_greeting(offer));
    CHECK(server.link.peer_window() == 5000);
}

TEST_CASE("link protocol: greetings of others change nothing")
{
    End agent(TunnelRole::agent);
    CHECK(!agent.link.take_greeting(foreign));
    CHECK(!agent.link.take_greeting("hello"));
    CHECK(!agent.link.negotiated());
}

TEST_CASE("link protocol: an agent that is displaced hears of it, and says so when it comes again")
{
    End server(TunnelRole::server), agent(TunnelRole::agent), again(TunnelRole::agent, true);
    CHECK(again.says() == Lines{"GRT 10>20 " + offer + " displaced"});
    server.says();
    // The original would print it.
    server.link.displace("somebody", server.now);
    CHECK(server.says().empty());
    CHECK(server.link.take_greeting(offer + " displaced"));
    CHECK(server.link.peer_was_displaced());
    server.link.displace("somebody", server.now);
    CHECK(server.says() == Lines{"GRT 10>20 instancer-tunnel 1 displaced by somebody"});
    CHECK(!agent.link.take_greeting("instancer-tunnel 1 displaced by somebody"));
    CHECK(agent.events == Lines{"displaced by somebody"});
}

TEST_CASE("link protocol: an agent of our own kind is asked what it answers, any other one what it ignores")
{
    End server(TunnelRole::server), agent(TunnelRole::agent);
    server.says(), agent.says();
    server.link.ask(server.now);
    CHECK(server.says() == Lines{"GRT 10>20 " + foreign});
    REQUIRE(server.link.take_greeting(offer));
    server.link.ask(server.now);
    CHECK(server.says() == Lines{"CTL 10>20 are you there?"});
    agent.link.take_control(End::message(TunnelCommand::control, "status"), agent.now);
    CHECK(agent.events == Lines{"asked status"});
    CHECK(agent.says() == Lines{"CTL 10>20 answer"});
    // A server answers no answer.
    server.link.take_control(End::message(TunnelCommand::control, "status"), server.now);
    CHECK(server.events == Lines{"asked status"});
    CHECK(server.says().empty());
}

TEST_CASE("link protocol: the agent asks for a sign of life, the server sends it back as it came")
{
    End server(TunnelRole::server), agent(TunnelRole::agent);
    server.says(), agent.says();
    CHECK(server.link.next_deadline() == LinkProtocol::TimePoint::max());
    CHECK(server.link.advance(server.now + 24h, true));
    CHECK(server.says().empty());
    REQUIRE(server.link.take_keep_alive(End::message(TunnelCommand::keep_alive, "123456"), server.now));
    CHECK(server.says() == Lines{"ALV 10>20 123456"});
    CHECK(!server.link.take_keep_alive(End::message(TunnelCommand::keep_alive, "12345"), server.now));

    agent.now = agent.link.next_deadline();
    REQUIRE(agent.link.advance(agent.now, true));
    const auto lines = agent.says();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("ALV 20>20 "));
    SUBCASE("answered")
    {
        agent.link.received(agent.now + 7ms);
        REQUIRE(agent.link.take_keep_alive(End::message(TunnelCommand::keep_alive, "123456"), agent.now + 7ms));
        CHECK(agent.events == Lines{"7 ms"});
        CHECK(agent.says().empty());
    }
    SUBCASE("not answered")
    {
        const auto result = agent.link.advance(agent.link.next_deadline(), true);
        REQUIRE(!result);
        CHECK(result.error() == Errc::timeout);
    }
}

TEST_CASE("link protocol: what is sent is traffic, too")
{
    End agent(TunnelRole::agent);
    const auto before = agent.link.next_deadline();
    agent.link.send(TunnelCommand::control, "x", agent.now + 10s);
    CHECK(agent.link.next_deadline() == before + 10s);
}

TEST_CASE("link protocol: a session's messages go from its user to its target, and the other way from the agent")
{
    const TunnelSession session(user, target, "", false);
    const std::string data = "data";
    End server(TunnelRole::server), agent(TunnelRole::agent);
    server.says(), agent.says();
    server.link.send_data(session, std::as_bytes(std::span(data)), server.now);
    agent.link.send_data(session, std::as_bytes(std::span(data)), agent.now);
    CHECK(server.says() == Lines{"FWD 30>40 data"});
    CHECK(agent.says() == Lines{"FWD 40>30 data"});
    CHECK(server.link.user_of(TunnelMessage(TunnelCommand::forward, target, user)) == user);
    CHECK(agent.link.user_of(TunnelMessage(TunnelCommand::forward, user, target)) == user);
}

TEST_CASE("link protocol: no message has more data than its receiver takes")
{
    const std::string data(100'000, 'd');
    for (const bool negotiated : {false, true}) {
        CAPTURE(negotiated);
        const TunnelSession session(user, target, "", negotiated);
        const auto most = negotiated ? TunnelMessage::max_data : std::size_t{8192};
        End server(TunnelRole::server);
        server.says();
        server.link.send_data(session, std::as_bytes(std::span(data)), server.now);
        const auto lines = server.says();
        CHECK(lines.size() == (data.size() + most - 1) / most);
        CHECK(lines[0].size() == most + std::string("FWD 30>40 ").size());
    }
}

TEST_CASE("link protocol: messages are numbered from 1 to 65534, and from 0 again")
{
    End server(TunnelRole::server);
    for (int i = 0; i < 65'535; ++i)
        server.link.send(TunnelCommand::control, "", server.now);
    server.says();
    REQUIRE(server.numbers.size() == 65'536);
    CHECK(server.numbers[0] == 1);
    CHECK(server.numbers[65'533] == 65'534);
    CHECK(server.numbers[65'534] == 0);
    CHECK(server.numbers[65'535] == 1);
}

TEST_CASE("link protocol: 4 MiB that wait are too many")
{
    End server(TunnelRole::server);
    const std::string text(60'000, 'x');
    while (server.link.output().size() <= 4 << 20) {
        REQUIRE(!server.link.is_flooded());
        server.link.send(TunnelCommand::control, text, server.now);
    }
    CHECK(server.link.is_flooded());
}
