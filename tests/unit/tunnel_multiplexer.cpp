// SPDX-License-Identifier: MIT
// The sessions of a link, without I/O and with a clock that the test moves.
#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/tunnel/multiplexer.hpp>

using namespace instancer;
using namespace std::chrono_literals;

namespace {

const TunnelAddress user(0xc0000201, 5000), other_user(0xc0000202, 6000), target(0x0a000001, 80);
const TunnelAddress server_address(0x7f000001, 8443), agent_address(0x7f000001, 4000);

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// One end, and what it has reported.
class End final : public TunnelObserver {
public:
    using Role = TunnelMultiplexer::Role;

    End(Role role, TunnelMultiplexer::TimePoint& clock, TunnelOptions options = {}, bool displaced = false)
        : now(clock),
          all(role, options, role == Role::server ? server_address : agent_address,
              role == Role::server ? agent_address : server_address, *this, now, displaced)
    {
    }

    /// What it would send, as a list; taken from it.
    std::string takes_out(bool with_data = true)
    {
        std::string text;
        TunnelMessageDecoder decoder;
        REQUIRE(decoder.feed(all.output(), [&](const TunnelMessage& message) {
            static const char* const names[] = {"GRT", "FWD", "DIS", "CTL", "ALV", "FIN", "WND"};
            text += (text.empty() ? "" : " | ") + std::string(names[static_cast<int>(message.command)]);
            if (with_data && !message.data.empty())
                text += " " + std::string(message.text());
            return Result<void>();
        }));
        all.sent(all.output().size(), now);
        return text;
    }

    Result<void> gets(TunnelCommand command, TunnelAddress from, TunnelAddress to, std::string_view data = {})
    {
        std::vector<std::byte> bytes;
        encode_tunnel_message(TunnelMessage(command, from, to, bytes_of(data)), bytes);
        return all.receive(bytes, now);
    }

    std::string send(const TunnelSessionPtr& session, std::string_view data)
    {
        const auto sent = all.send(session, bytes_of(data), now);
        return sent ? std::to_string(*sent) : sent.error().code().message();
    }

    std::string read(const TunnelSessionPtr& session, std::size_t size = 1 << 20)
    {
        std::string text(size, '\0');
        const auto count = all.read(session, std::as_writable_bytes(std::span(text)), now);
        if (!count)
            return count.error() == std::error_code(asio::error::would_block) ? "would block" : "reset";
        return *count == 0 ? "eof" : text.substr(0, *count);
    }

    TunnelMultiplexer::TimePoint& now;
    std::vector<TunnelSessionPtr> opened;
    std::vector<std::string> disconnected;
    std::vector<std::string> controls;
    std::vector<std::string> displaced_by;
    int refused = 0;
    int round_trips = 0;

private:
    void session_opened(const TunnelSessionPtr& session) override { opened.push_back(session); }
    void session_disconnected(const TunnelSession&, std::string_view reason) override
    {
        disconnected.emplace_back(reason);
    }
    void session_refused() override { ++refused; }
    void displaced(std::string_view by) override { displaced_by.emplace_back(by); }
    void round_trip(std::chrono::nanoseconds) override { ++round_trips; }
    std::string control(std::string_view text) override
    {
        controls.emplace_back(text);
        return "answer";
    }

public:
    TunnelMultiplexer all;
};

/// A server and an agent, and the bytes between them.
class Pair {
public:
    explicit Pair(TunnelOptions options = {})
        : server(End::Role::server, now, options), agent(End::Role::agent, now, options)
    {
        settle();
    }

    static bool move(End& from, End& to)
    {
        const std::vector<std::byte> bytes(from.all.output().begin(), from.all.output().end());
        from.all.sent(bytes.size(), from.now);
        REQUIRE(to.all.receive(bytes, to.now));
        return !bytes.empty();
    }

    static void exchange(End& one, End& other)
    {
        for (bool moved = true; moved;) {
            moved = move(one, other);
            moved = move(other, one) || moved;
        }
    }

    void settle() { exchange(server, agent); }

    std::pair<TunnelSessionPtr, TunnelSessionPtr> open(TunnelAddress from = user)
    {
        const auto at_server = server.all.open(from, target, "somebody", now);
        settle();
        REQUIRE(!agent.opened.empty());
        return {at_server, agent.opened.back()};
    }

    TunnelMultiplexer::TimePoint now{1h};
    End server, agent;
};

/// A server whose agent is of the original.
class Foreign {
public:
    explicit Foreign(TunnelOptions options = {}) : server(End::Role::server, now, options)
    {
        server.takes_out();
        REQUIRE(server.gets(TunnelCommand::greeting, agent_address, server_address, "hello"));
    }

    TunnelMultiplexer::TimePoint now{1h};
    End server;
};

}  // namespace

TEST_CASE("multiplexer: two of ours recognise each other, open at once, and carry both directions")
{
    Pair link;
    CHECK(link.server.all.negotiated());
    CHECK(link.agent.all.negotiated());
    const auto [there, here] = link.open();
    CHECK(here->user() == user);
    CHECK(here->target() == target);
    // The server speaks first.
    CHECK(link.agent.send(here, "banner") == "6");
    CHECK(link.server.send(there, "question") == "8");
    link.settle();
    CHECK(link.server.read(there) == "banner");
    CHECK(link.agent.read(here) == "question");
    CHECK(link.server.read(there) == "would block");
}

TEST_CASE("multiplexer: sessions that began before both ends knew each other stay without windows, at both")
{
    TunnelOptions options;
    options.session_buffer = 4096;
    TunnelMultiplexer::TimePoint now{1h};
    End server(End::Role::server, now, options), agent(End::Role::agent, now, options);
    const auto early = server.all.open(user, target, "early", now);
    Pair::exchange(agent, server);
    REQUIRE(agent.opened.size() == 1);
    CHECK(!early->negotiated());
    CHECK(!agent.opened[0]->negotiated());
    const auto late = server.all.open(other_user, target, "late", now);
    Pair::exchange(server, agent);
    REQUIRE(agent.opened.size() == 2);
    CHECK(late->negotiated());
    CHECK(agent.opened[1]->negotiated());
    now += 100ms;
    REQUIRE(server.all.advance(now));
    CHECK(server.send(early, std::string(10'000, 'x')) == "10000");
    Pair::exchange(server, agent);
    CHECK(agent.read(agent.opened[0]).size() == 10'000);
}

TEST_CASE("multiplexer: half-close and end in order between two of ours; the address is free then")
{
    Pair link;
    const auto [there, here] = link.open();
    link.server.all.finish(there, link.now);
    link.settle();
    CHECK(link.agent.read(here) == "eof");
    CHECK(link.agent.send(here, "answer") == "6");
    link.agent.all.finish(here, link.now);
    link.settle();
    CHECK(link.server.read(there) == "answer");
    CHECK(link.server.read(there) == "eof");
    CHECK(link.server.all.sessions().empty());
    link.server.all.close(there, "closed", link.now);
    link.agent.all.close(here, "closed", link.now);
    CHECK(link.server.takes_out() == "");
    CHECK(link.agent.takes_out() == "");
    CHECK(link.open().first->user() == user);
}

TEST_CASE("multiplexer: a reset reaches the other end after the data, whoever resets, and both at once")
{
    for (const int who : {0, 1, 2}) {
        CAPTURE(who);
        Pair link;
        const auto [there, here] = link.open();
        CHECK(link.server.send(there, "up") == "2");
        CHECK(link.agent.send(here, "down") == "4");
        if (who != 0)
            link.agent.all.close(here, "ECONNRESET", link.now);
        if (who != 1)
            link.server.all.close(there, "ECONNRESET", link.now);
        // Until the other end has said that it knows, the address stays taken.
        CHECK(link.server.all.open(user, target, "", link.now)->user() != user);
        link.settle();
        if (who == 0) {
            CHECK(link.agent.read(here) == "up");
            CHECK(link.agent.read(here) == "reset");
        }
        if (who == 1) {
            CHECK(link.server.read(there) == "down");
            CHECK(link.server.read(there) == "reset");
            CHECK(link.server.send(there, "x") != "1");
        }
        CHECK(link.open().first->user() == user);
    }
}

TEST_CASE("multiplexer: no end is ever sent more than its window, and reading opens it again")
{
    TunnelOptions options;
    options.session_buffer = 10'000;
    Pair link(options);
    const auto [there, here] = link.open();
    const std::string data(50'000, 'd');
    CHECK(link.server.send(there, data) == "10000");
    CHECK(!link.server.all.writable(*there));
    int woken = 0;
    there->on_change([&] { ++woken; });
    link.settle();
    CHECK(woken == 0);
    CHECK(link.agent.read(here, 4000).size() == 4000);
    link.settle();
    CHECK(woken == 0);
    CHECK(link.agent.read(here, 4000).size() == 4000);
    link.settle();
    CHECK(woken == 1);
    CHECK(link.server.send(there, data) == "8000");
    // Another session is not concerned.
    const auto [second, at_agent] = link.open(other_user);
    CHECK(link.server.send(second, "x") == "1");
    link.settle();
    CHECK(link.agent.read(at_agent) == "x");
}

TEST_CASE("multiplexer: who sends more than the window, or after its end, ends the link")
{
    TunnelOptions options;
    options.session_buffer = 4096;
    Pair link(options);
    const auto [there, here] = link.open();
    CHECK(!link.agent.gets(TunnelCommand::forward, user, target, std::string(4097, 'x')));

    Pair second(options);
    const auto pair = second.open();
    second.server.all.finish(pair.first, second.now);
    second.settle();
    const auto late = second.agent.gets(TunnelCommand::forward, user, target, "x");
    REQUIRE(!late);
    CHECK(late.error().message() == "data came after the end of session 192.0.2.1:5000");
}

TEST_CASE("multiplexer: toward an original agent, data waits for 100 ms after the opening, or for an answer")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    CHECK(link.server.takes_out() == "");
    CHECK(link.server.send(session, "first") == "5");
    CHECK(link.server.takes_out() == "FWD first");
    CHECK(!link.server.all.writable(*session));
    link.server.send(session, "second");
    CHECK(link.server.takes_out() == "");
    SUBCASE("time")
    {
        CHECK(link.server.all.next_deadline() == link.now + 100ms);
        link.now += 99ms;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(!link.server.all.writable(*session));
        link.now += 1ms;
        int woken = 0;
        session->on_change([&] { ++woken; });
        REQUIRE(link.server.all.advance(link.now));
        CHECK(woken == 1);
    }
    SUBCASE("answer")
    {
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "banner"));
        CHECK(link.server.read(session) == "banner");
    }
    CHECK(link.server.send(session, "second") == "6");
    CHECK(link.server.takes_out() == "FWD second");
}

TEST_CASE("multiplexer: toward an original agent, a user who says nothing is connected all the same")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.now += 100ms;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(link.server.takes_out() == "FWD");
    CHECK(!link.server.all.writable(*session));
}

TEST_CASE("multiplexer: to an original agent no message holds more than 8192 bytes of data")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    const std::string data(30'000, 'd');
    CHECK(link.server.send(session, data) == "8192");
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user));
    link.server.takes_out();
    CHECK(link.server.send(session, data) == "30000");
    CHECK(link.server.takes_out(false) == "FWD | FWD | FWD | FWD");
}

TEST_CASE("multiplexer: toward an original agent a half-close is held until the target ends, or is silent for long")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    link.server.all.finish(session, link.now);
    CHECK(link.server.takes_out() == "FWD question");
    SUBCASE("ends")
    {
        link.now += 29s;
        REQUIRE(link.server.all.advance(link.now));
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "late"));
        link.now += 29s;
        REQUIRE(link.server.all.advance(link.now));
        REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user));
        CHECK(link.server.read(session) == "late");
        CHECK(link.server.read(session) == "eof");
        CHECK(link.server.takes_out() == "");
    }
    SUBCASE("silent")
    {
        link.now += 30s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(link.server.takes_out() == "DIS nothing came after its half-close");
        CHECK(link.server.read(session) == "reset");
    }
}

TEST_CASE("multiplexer: how an original agent's DIS reads, in each of its forms")
{
    const std::pair<std::string, std::string> forms[] = {{"", "eof"},
                                                         {"remote disconnected already", "eof"},
                                                         {std::string("\x0a\0\0\1\0\x50", 6), "eof"},
                                                         {"ECONNREFUSED", "reset"},
                                                         {"ETIMEDOUT", "reset"},
                                                         {"EACCES", "reset"},
                                                         {"disconnected by system", "reset"}};
    for (const auto& [reason, end] : forms) {
        CAPTURE(reason);
        Foreign link;
        const auto session = link.server.all.open(user, target, "somebody", link.now);
        link.server.send(session, "x");
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "data"));
        REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user, reason));
        CHECK(link.server.read(session) == "data");
        CHECK(link.server.read(session) == end);
    }
    // The documentation has the session's address in the data.
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "x");
    REQUIRE(link.server.gets(TunnelCommand::disconnect, {}, {}, std::string("\xc0\x00\x02\x01\x13\x88", 6)));
    CHECK(link.server.read(session) == "eof");
}

TEST_CASE("multiplexer: an agent's target that ends is told to an original server at once, after its data")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    agent.takes_out();
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "question"));
    const auto session = agent.opened.front();
    CHECK(agent.send(session, "answer") == "6");
    agent.all.finish(session, now);
    CHECK(agent.takes_out() == "FWD answer | DIS target closed");
    CHECK(agent.read(session) == "question");
    CHECK(agent.read(session) == "eof");
    // What the server had sent before it knew opens no second connection.
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "straggler"));
    CHECK(agent.opened.size() == 1);
    CHECK(agent.takes_out() == "DIS remote disconnected already");
    now += 3s;
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "new"));
    CHECK(agent.opened.size() == 2);
}

TEST_CASE("multiplexer: an original server's user who leaves is heard to the end, and what the target still says goes")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "all of the file"));
    REQUIRE(agent.gets(TunnelCommand::disconnect, user, target));
    const auto session = agent.opened.front();
    CHECK(agent.send(session, "thanks") == "6");
    CHECK(agent.read(session) == "all of the file");
    CHECK(agent.read(session) == "eof");
    CHECK(!session->broken());
    now += 30s;
    REQUIRE(agent.all.advance(now));
    CHECK(session->broken());
}

TEST_CASE("multiplexer: after an original server's user has left, a target that takes what came is not cut off")
{
    TunnelMultiplexer::TimePoint now{1h};
    TunnelOptions options;
    options.keep_alive = 24h;
    End agent(End::Role::agent, now, options);
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "all of the file"));
    REQUIRE(agent.gets(TunnelCommand::disconnect, user, target));
    const auto session = agent.opened.front();
    std::size_t on_its_way = 0;
    session->on_silence([&] { return on_its_way; });
    const auto wait = [&] {
        now += 30s;
        REQUIRE(agent.all.advance(now));
    };
    wait();
    CHECK(!session->broken());
    CHECK(agent.read(session, 4) == "all ");
    wait();
    CHECK(!session->broken());
    CHECK(agent.read(session) == "of the file");
    for (on_its_way = 3; on_its_way > 0; --on_its_way) {
        wait();
        CHECK(!session->broken());
    }
    SUBCASE("it has everything") {}
    SUBCASE("it takes no more") { on_its_way = 1; }
    wait();
    CHECK(session->broken());
}

TEST_CASE("multiplexer: what an original agent's target sent before its end waits for the user, however long")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "answer"));
    SUBCASE("who has not ended") {}
    SUBCASE("who has ended") { link.server.all.finish(session, link.now); }
    REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user));
    link.now += 24h;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(link.server.read(session) == "answer");
    CHECK(link.server.read(session) == "eof");
    CHECK(!session->broken());
}

TEST_CASE("multiplexer: while a half-close is held, a user who is slow to take the answer is not cut off")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    link.server.all.finish(session, link.now);
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "long answer"));
    for (const std::string part : {"lo", "ng ", "answer"}) {
        link.now += 30s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(link.server.read(session, part.size()) == part);
    }
    link.now += 30s;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(session->broken());
}

TEST_CASE("multiplexer: a full session holds up the link of an original, and is ended when others wait for it")
{
    TunnelOptions options;
    options.session_buffer = 20'000;
    Foreign link(options);
    const auto slow = link.server.all.open(user, target, "slow", link.now);
    link.server.send(slow, "x");
    const std::string data(8192, 'd');
    for (int i = 0; i < 3; ++i) {
        CHECK(link.server.all.may_receive());
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, data));
    }
    CHECK(!link.server.all.may_receive());
    // Alone it may take its time.
    for (int i = 0; i < 5; ++i) {
        link.now += 2s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(!slow->broken());
    }
    SUBCASE("it goes on")
    {
        CHECK(link.server.read(slow, 14'577).size() == 14'577);
        CHECK(link.server.all.may_receive());
    }
    SUBCASE("others wait")
    {
        const auto other = link.server.all.open(other_user, target, "other", link.now);
        link.server.send(other, "x");
        link.server.takes_out();
        link.now += 2s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(slow->broken());
        CHECK(link.server.all.may_receive());
        CHECK(link.server.takes_out() == "DIS too slow: others wait for it");
        CHECK(link.server.disconnected == std::vector<std::string>{"too slow: others wait for it"});
        REQUIRE(link.server.gets(TunnelCommand::forward, target, other_user, "fine"));
        CHECK(link.server.read(other) == "fine");
    }
    SUBCASE("its user goes")
    {
        link.server.all.close(slow, "closed", link.now);
        CHECK(link.server.all.may_receive());
    }
}

TEST_CASE("multiplexer: addresses on the link are unique; those made up are of 240.0.0.0/4")
{
    Foreign link;
    const auto first = link.server.all.open(user, target, "first", link.now);
    const auto second = link.server.all.open(user, target, "second", link.now);
    const auto third = link.server.all.open(std::nullopt, target, "[2001:db8::1]:1", link.now);
    CHECK(first->user() == user);
    CHECK(second->user().to_string() == "240.0.0.1:1");
    CHECK(third->user().to_string() == "240.0.0.1:2");
    CHECK(link.server.all.sessions().size() == 3);
    CHECK(link.server.all.disconnect("[2001:db8::1]:1", link.now));
    CHECK(third->broken());
    CHECK(!link.server.all.disconnect("[2001:db8::1]:1", link.now));
    CHECK(link.server.all.disconnect("240.0.0.1:1", link.now));
    CHECK(link.server.all.sessions().size() == 1);
    // Of these the agent has not heard; of this one it has, and stragglers may come.
    link.server.send(first, "x");
    link.server.all.close(first, "closed", link.now);
    CHECK(link.server.all.open(user, target, "", link.now)->user() != user);
    link.now += 3s;
    CHECK(link.server.all.open(user, target, "", link.now)->user() == user);
}

TEST_CASE("multiplexer: signs of life, asked for by the agent, answered by the server")
{
    Pair link;
    CHECK(link.agent.all.next_deadline() == link.now + 50s);
    link.now += 50s;
    REQUIRE(link.agent.all.advance(link.now));
    CHECK(link.agent.all.output().size() == 19 + 6);
    link.settle();
    CHECK(link.agent.round_trips == 1);
    CHECK(link.agent.all.next_deadline() == link.now + 50s);

    link.now += 50s;
    REQUIRE(link.agent.all.advance(link.now));
    link.now += 20s;
    const auto dead = link.agent.all.advance(link.now);
    REQUIRE(!dead);
    CHECK(dead.error() == Errc::timeout);

    // Echoed as it came, with the addresses swapped.
    Foreign original;
    REQUIRE(original.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456"));
    CHECK(original.server.takes_out() == "ALV 123456");
    CHECK(!original.server.gets(TunnelCommand::keep_alive, server_address, server_address, "1234567"));
}

TEST_CASE("multiplexer: CTL is answered by a message; FIN and WND are for those who agreed on them")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    agent.takes_out();
    REQUIRE(agent.gets(TunnelCommand::control, server_address, agent_address, "status"));
    CHECK(agent.controls == std::vector<std::string>{"status"});
    CHECK(agent.takes_out() == "CTL answer");
    CHECK(!agent.gets(TunnelCommand::finish, user, target));
    Foreign link;
    CHECK(!link.server.gets(TunnelCommand::window, target, user, "1234"));
}

TEST_CASE("multiplexer: who asks without ever reading is given up")
{
    Foreign link;
    Result<void> result;
    for (int i = 0; i < 1'000'000 && result; ++i)
        result = link.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456");
    REQUIRE(!result);
    CHECK(result.error().message() == "the other end asks for more than it takes");
}

TEST_CASE("multiplexer: sequence numbers wrap as the original's do")
{
    Foreign link;
    std::vector<std::uint16_t> numbers;
    TunnelMessageDecoder decoder;
    for (int i = 0; i < 65'540; ++i) {
        REQUIRE(link.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456"));
        REQUIRE(decoder.feed(link.server.all.output(), [&](const TunnelMessage& message) {
            numbers.push_back(message.sequence);
            return Result<void>();
        }));
        link.server.all.sent(link.server.all.output().size(), link.now);
    }
    CHECK(numbers[0] == 2);
    CHECK(numbers[65'532] == 65'534);
    CHECK(numbers[65'533] == 0);
    CHECK(numbers[65'534] == 1);
}

TEST_CASE("multiplexer: when the link is lost, all sessions end by reset, after what had come")
{
    Pair link;
    const auto [there, here] = link.open();
    link.agent.send(here, "data");
    link.settle();
    link.server.all.lose();
    CHECK(link.server.read(there) == "data");
    CHECK(link.server.read(there) == "reset");
    CHECK(link.server.send(there, "x") != "1");
    link.server.all.close(there, "closed", link.now);
}

TEST_CASE("multiplexer: while the link has no room for all, each has its turn")
{
    TunnelOptions options;
    options.session_buffer = 64 << 20;
    Pair link(options);
    std::vector<TunnelSessionPtr> sessions;
    std::vector<std::size_t> sent(5);
    std::deque<std::size_t> woken;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        const TunnelAddress from(1, static_cast<std::uint16_t>(i + 1));
        sessions.push_back(link.server.all.open(from, target, "", link.now));
        sessions.back()->on_change([&woken, i] { woken.push_back(i); });
        woken.push_back(i);
    }
    const std::string data(1 << 20, 'd');
    for (int round = 0; round < 300; ++round) {
        for (; !woken.empty(); woken.pop_front()) {
            const auto i = woken.front();
            while (const auto count = link.server.all.send(sessions[i], bytes_of(data), link.now).value_or(0))
                sent[i] += count;
        }
        link.server.all.sent(std::min<std::size_t>(link.server.all.output().size(), 200'000), link.now);
        // One that is gone does not keep its turn.
        if (round == 100)
            link.server.all.close(sessions[4], "closed", link.now);
    }
    const auto least = *std::min_element(sent.begin(), sent.end() - 1),
               most = *std::max_element(sent.begin(), sent.end());
    CAPTURE(sent[0]);
    CHECK(least > 5'000'000);
    CHECK(most - least < 1'000'000);
}

TEST_CASE("multiplexer: sessions that stall do not keep the link from others, however many there are")
{
    for (const std::size_t count : {4, 5, 40, 1000}) {
        CAPTURE(count);
        TunnelOptions options;
        options.session_buffer = 64 << 10;
        options.max_sessions = 0;
        Pair link(options);
        const std::string data(1 << 20, 'd');
        std::vector<TunnelSessionPtr> stalled;
        for (std::size_t i = 0; i < count; ++i)
            stalled.push_back(link.open(TunnelAddress(1, static_cast<std::uint16_t>(i + 1))).first);
        // They send until their windows and the link are full, and want to send more ever after.
        for (bool sends = true; sends; link.settle()) {
            sends = false;
            for (const auto& session : stalled)
                while (link.server.all.send(session, bytes_of(data), link.now))
                    sends = true;
        }
        const auto [fresh, at_agent] = link.open(other_user);
        int woken = 0;
        fresh->on_change([&, &other = fresh] { woken += link.server.all.writable(*other) ? 1 : 0; });
        std::string got;
        for (int i = 0; i < 100; ++i) {
            link.server.send(fresh, std::string(10'000, 'f'));
            link.settle();
            if (const auto text = link.agent.read(at_agent); text != "would block")
                got += text;
            link.settle();
        }
        CHECK(got.size() == 1'000'000);
    }
}

TEST_CASE("multiplexer: a window that opens while others wait for the link gets its session a turn")
{
    TunnelOptions options;
    options.session_buffer = 1 << 20;
    Pair link(options);
    const std::string data(4 << 20, 'd');
    const auto [blocked, at_agent] = link.open();
    while (link.server.all.send(blocked, bytes_of(data), link.now))
        link.settle();
    bool woken = false;
    blocked->on_change([&, &session = blocked] { woken = woken || link.server.all.writable(*session); });
    // Another one fills the link, and waits.
    const auto other = link.open(other_user).first;
    while (link.server.all.send(other, bytes_of(data), link.now)) {}
    CHECK(link.agent.read(at_agent, 1 << 20).size() == 1 << 20);
    Pair::move(link.agent, link.server);
    CHECK(!woken);
    link.server.all.sent(link.server.all.output().size(), link.now);
    CHECK(woken);
    CHECK(link.server.all.send(blocked, bytes_of(data), link.now).value_or(0) > 0);
}

TEST_CASE("multiplexer: an agent refuses sessions beyond its limit, and takes new ones when others are over")
{
    TunnelOptions options;
    options.max_sessions = 2;
    Pair link(options);
    const auto first = link.open(TunnelAddress(1, 1)), second = link.open(TunnelAddress(1, 2));
    const auto third = link.open(TunnelAddress(1, 3)).first;
    CHECK(link.agent.opened.size() == 2);
    CHECK(link.agent.refused == 1);
    CHECK(link.server.read(third) == "reset");
    CHECK(link.server.disconnected == std::vector<std::string>{"EMFILE the agent has 2 sessions already"});
    // What was on its way opens nothing.
    REQUIRE(link.agent.gets(TunnelCommand::forward, TunnelAddress(1, 4), target, "straggler"));
    CHECK(link.agent.takes_out() == "");
    // A session counts until its target is let go, whatever the server has said about it.
    link.server.all.close(first.first, "closed", link.now);
    link.settle();
    CHECK(link.open(TunnelAddress(1, 5)).second == second.second);
    link.agent.all.close(first.second, "closed", link.now);
    CHECK(link.open(TunnelAddress(1, 6)).second->user() == TunnelAddress(1, 6));
    CHECK(link.agent.opened.size() == 3);
}

TEST_CASE(
    "multiplexer: a server that opens sessions without end, and answers nothing, makes an agent keep no more of them")
{
    TunnelOptions options;
    options.max_sessions = 10;
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now, options);
    SUBCASE("of our kind")
    {
        REQUIRE(agent.gets(TunnelCommand::greeting, server_address, agent_address, "instancer-tunnel 1 window=65536"));
    }
    SUBCASE("of the original") {}
    for (std::uint32_t i = 0; i < 200'000; ++i) {
        REQUIRE(agent.gets(TunnelCommand::forward, TunnelAddress(i + 1, 1), target));
        if (i % 2 == 0)
            REQUIRE(agent.gets(TunnelCommand::disconnect, TunnelAddress(i + 1, 1), target));
        agent.all.sent(agent.all.output().size(), now);
        if (i % 3 == 0 && !agent.opened.empty()) {
            agent.all.close(agent.opened.back(), "ECONNREFUSED", now);
            agent.opened.pop_back();
        }
        REQUIRE(agent.opened.size() <= 10);
        REQUIRE(agent.all.sessions().size() <= 10);
    }
    CHECK(agent.refused > 0);
}

TEST_CASE("multiplexer: what waits for all slow receivers together has a limit; the session with most of it ends")
{
    TunnelOptions options;
    options.session_buffer = 100'000;
    options.total_buffer = 250'000;
    Pair link(options);
    const auto big = link.open(TunnelAddress(1, 1)), done = link.open(TunnelAddress(1, 2)),
               small = link.open(TunnelAddress(1, 3)), fresh = link.open(TunnelAddress(1, 4));
    const auto send = [&](const auto& session, std::size_t size) {
        CHECK(link.server.send(session.first, std::string(size, 'd')) == std::to_string(size));
        link.settle();
    };
    send(big, 100'000);
    // One that is over but for its receiver counts too.
    send(done, 90'000);
    link.server.all.finish(done.first, link.now);
    link.agent.all.finish(done.second, link.now);
    send(small, 50'000);
    CHECK(!big.second->broken());
    send(fresh, 20'000);
    CHECK(link.agent.read(big.second) == "reset");
    CHECK(link.server.read(big.first) == "reset");
    CHECK(link.agent.disconnected.size() == 1);
    CHECK(link.agent.read(done.second).size() == 90'000);
    CHECK(link.agent.read(small.second).size() == 50'000);
    CHECK(link.agent.read(fresh.second).size() == 20'000);
}

TEST_CASE("multiplexer: toward an original, more than all receivers together may leave holds up the link")
{
    TunnelOptions options;
    options.session_buffer = 20'000;
    options.total_buffer = 30'000;
    Foreign link(options);
    std::vector<TunnelSessionPtr> users;
    for (std::uint16_t port = 1; port <= 3; ++port) {
        users.push_back(link.server.all.open(TunnelAddress(1, port), target, "", link.now));
        link.server.send(users.back(), "x");
    }
    const std::string data(8192, 'd');
    for (const auto& user : users) {
        REQUIRE(link.server.all.may_receive());
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user->user(), data));
    }
    CHECK(link.server.all.may_receive());
    REQUIRE(link.server.gets(TunnelCommand::forward, target, users[0]->user(), data));
    CHECK(!link.server.all.may_receive());
    CHECK(link.server.read(users[0]).size() == 16'384);
    CHECK(link.server.all.may_receive());
}

TEST_CASE("multiplexer: an agent that was displaced is told so, says so, and is asked for a sign of life")
{
    Pair link;
    CHECK(!link.server.all.peer_was_displaced());
    link.server.all.displace("192.0.2.9:1", link.now);
    link.settle();
    CHECK(link.agent.displaced_by == std::vector<std::string>{"192.0.2.9:1"});

    End again(End::Role::agent, link.now, {}, true), server(End::Role::server, link.now);
    Pair::exchange(again, server);
    CHECK(server.all.peer_was_displaced());
    CHECK(server.all.negotiated());
    CHECK(again.all.negotiated());
    server.all.ask(link.now);
    Pair::exchange(server, again);
    CHECK(again.controls.size() == 1);
    CHECK(server.controls == std::vector<std::string>{"answer"});

    // The original prints a greeting, and has no answer to anything else.
    Foreign original;
    original.server.all.displace("192.0.2.9:1", original.now);
    CHECK(original.server.takes_out() == "");
    original.server.all.ask(original.now);
    CHECK(original.server.takes_out() == "GRT instancer");
}

TEST_CASE("multiplexer: whatever two of ours do, all bytes arrive in order, and nothing is left")
{
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        TunnelOptions options;
        options.session_buffer = 4096 + random() % 20'000;
        Pair link(options);
        struct Stream {
            TunnelSessionPtr there, here;
            std::string sent_up, sent_down, got_up, got_down;
            bool up_over = false, down_over = false;
        };
        std::vector<Stream> streams(1 + random() % 6);
        for (std::size_t i = 0; i < streams.size(); ++i)
            std::tie(streams[i].there, streams[i].here) =
                link.open(TunnelAddress(7, static_cast<std::uint16_t>(i + 1)));
        const auto step = [&](End& from, End& to, const TunnelSessionPtr& out, const TunnelSessionPtr& in,
                              std::string& sent, std::string& got, bool& over) {
            if (!over && random() % 2 == 0) {
                std::string data(1 + random() % 9000, static_cast<char>('a' + random() % 26));
                sent += data.substr(0, from.all.send(out, bytes_of(data), link.now).value_or(0));
            }
            if (random() % 3 == 0)
                if (const auto text = to.read(in, 1 + random() % 9000); text != "would block" && text != "eof")
                    got += text;
            if (!over && random() % 40 == 0) {
                from.all.finish(out, link.now);
                over = true;
            }
        };
        for (int i = 0; i < 2000; ++i) {
            auto& one = streams[random() % streams.size()];
            step(link.server, link.agent, one.there, one.here, one.sent_up, one.got_up, one.up_over);
            step(link.agent, link.server, one.here, one.there, one.sent_down, one.got_down, one.down_over);
            if (random() % 4 == 0)
                Pair::move(link.server, link.agent);
            if (random() % 4 == 0)
                Pair::move(link.agent, link.server);
        }
        for (auto& one : streams) {
            link.server.all.finish(one.there, link.now);
            link.agent.all.finish(one.here, link.now);
            for (std::string text; text != "eof";) {
                link.settle();
                text = link.agent.read(one.here);
                one.got_up += text == "eof" || text == "would block" ? "" : text;
            }
            for (std::string text; text != "eof";) {
                link.settle();
                text = link.server.read(one.there);
                one.got_down += text == "eof" || text == "would block" ? "" : text;
            }
            CHECK(one.got_up == one.sent_up);
            CHECK(one.got_down == one.sent_down);
        }
        CHECK(link.server.all.sessions().empty());
        CHECK(link.agent.all.sessions().empty());
    }
}
