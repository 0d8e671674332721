// SPDX-License-Identifier: MIT
// Channels: who gets what, who waits for whom, and who is cut off.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/tcp.h>

#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/relay/relay_backend.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using namespace instancer;
using socket_pair::noise;

namespace {

class Witness final : public RelayObserver {
public:
    void joined(const RelayMemberInfo& member, std::size_t members) override { note("joined", member, members); }
    void left(const RelayMemberInfo& member, std::size_t members) override { note("left", member, members); }
    void cut(const RelayMemberInfo& member, std::string_view why) override
    {
        events.push_back("cut " + std::to_string(member.session) + ": " + std::string(why));
    }
    void passed(const RelayMemberInfo&, std::span<const std::byte> data) override { bytes += data.size(); }

    std::vector<std::string> events;
    std::size_t bytes = 0;

private:
    void note(const std::string& what, const RelayMemberInfo& member, std::size_t members)
    {
        events.push_back(what + " " + std::to_string(member.session) + " of " + std::to_string(members) + " in " +
                         member.channel);
    }
};

/// A channel on the thread of the test.
class Room {
public:
    explicit Room(const RelayOptions& options = {}) : backend(workers, options, witness)
    {
        InstanceRequest request("relay");
        request.label("channel 7");
        channel = std::move(*loop.run(backend.start(std::move(request))));
    }
    ~Room()
    {
        loop.run(backend.stop(channel));
        loop.settle();
    }

    Stream join()
    {
        auto opened = loop.run(backend.open(channel, OpenRequest(Identity(), ClientInfo("/x"), nullptr, ++members)));
        REQUIRE(opened);
        return std::move(*opened);
    }

    RelayChannelStatus status()
    {
        auto all = loop.run(backend.snapshot());
        REQUIRE(all.size() == 1);
        return all.front();
    }

    Workers workers{1};
    Loop loop{workers.context(0)};
    Witness witness;
    RelayBackend backend;
    Instance channel;
    std::uint64_t members = 0;
};

/// A member that is bridged to a client's socket, and that client.
class Client final : BridgeObserver {
public:
    explicit Client(Room& room, int buffer_size = 0, std::string_view unread = {}) : loop_(room.loop)
    {
        auto [ours, theirs] = socket_pair::tcp(buffer_size);
        near_end = theirs.get();
        stream = make_socket_stream(room.loop.executor(), std::move(ours));
        auto near_stream = make_socket_stream(room.loop.executor(), std::move(theirs));
        near_stream.unread(unread);
        link_.emplace(std::move(near_stream), room.join(), usage_, state_);
        REQUIRE(bridge_.start(*link_, *this));
    }
    ~Client()
    {
        if (link_)
            link_->cancel();
    }

    bool ended() const { return end_.has_value(); }
    BridgeEnd end() const { return end_.value(); }

    void send(std::string_view text) { REQUIRE(loop_.run(stream.write_all(bytes_of(text)))); }
    std::string receive(std::size_t size) { return loop_.run(socket_pair::read_exactly(stream, size)); }
    std::string receive_all() { return loop_.run(socket_pair::read_all(stream)); }

    Stream stream;
    int near_end = -1;

private:
    void bridge_ended(BridgeEnd end) override
    {
        end_ = end;
        link_.reset();
    }

    Loop& loop_;
    Usage usage_;
    LinkState state_;
    PairBridge bridge_;
    std::optional<Link> link_;
    std::optional<BridgeEnd> end_;
};

std::string write(Stream& stream, std::string_view text)
{
    const auto written = stream.try_write(bytes_of(text));
    if (written)
        return std::to_string(*written);
    return written.error() == std::error_code(asio::error::would_block) ? "would block" : "error";
}

}  // namespace

TEST_CASE("relay channel: what one sends goes to all others, in order")
{
    Room room;
    auto a = room.join(), b = room.join(), c = room.join();
    CHECK(write(a, "one") == "3");
    CHECK(try_read(a) == "would block");
    CHECK(try_read(b, 2) == "on");
    CHECK(try_read(b) == "e");
    CHECK(try_read(c) == "one");
    CHECK(write(b, "two") == "3");
    CHECK(try_read(a) == "two");
    CHECK(try_read(c) == "two");
    CHECK(try_read(b) == "would block");
    CHECK(room.witness.events == std::vector<std::string>{"joined 1 of 1 in channel 7", "joined 2 of 2 in channel 7",
                                                          "joined 3 of 3 in channel 7"});
    CHECK(room.witness.bytes == 6);
}

TEST_CASE("relay channel: echo, which can be turned on and off")
{
    RelayOptions options;
    options.echo = true;
    Room room(options);
    auto a = room.join();
    CHECK(write(a, "alone") == "5");
    CHECK(try_read(a) == "alone");
    auto b = room.join();
    CHECK(write(a, "both, more than came with a greeting") == "36");
    CHECK(write(a, "not before it is read") == "would block");
    CHECK(try_read(b) == "both, more than came with a greeting");
    CHECK(write(a, "nor before it has come back") == "would block");
    CHECK(try_read(a) == "both, more than came with a greeting");
    room.backend.set_echo(false);
    room.loop.settle();
    CHECK(write(a, "no more") == "7");
    CHECK(try_read(a) == "would block");
    CHECK(try_read(b) == "no more");
}

TEST_CASE("relay channel: who sends waits for the slowest, and those who wait have their turns")
{
    Room room;
    auto a = room.join(), b = room.join(), slow = room.join();
    const std::string much(100'000, 'x');
    CHECK(write(a, much) == "100000");
    CHECK(try_read(b, 200'000) == much);
    auto first = room.loop.start(a.wait(Readiness::writable));
    auto second = room.loop.start(b.wait(Readiness::writable));
    room.loop.settle();
    CHECK(write(a, "a") == "would block");
    CHECK(write(b, much) == "would block");
    CHECK_FALSE(first.done());
    CHECK(room.status().members.at(2).queued == 100'000);
    CHECK(room.status().members.at(0).waits);

    CHECK(try_read(slow, 99'999).size() == 99'999);
    room.loop.settle();
    CHECK_FALSE(first.done());
    CHECK(try_read(slow) == "x");
    room.loop.settle();
    CHECK(first.done());
    CHECK(second.done());
    CHECK(write(b, much) == "100000");
    CHECK(write(a, "a") == "would block");

    // Nobody is held up by who has gone.
    auto third = room.loop.start(a.wait(Readiness::writable));
    CHECK(try_read(a, 200'000) == much);
    room.loop.settle();
    CHECK_FALSE(third.done());
    slow.abort();
    room.loop.settle();
    CHECK(third.done());
    CHECK(write(a, "a") == "1");
    CHECK(try_read(b) == "a");
}

TEST_CASE("relay channel: a few bytes that came with the greeting need not wait")
{
    Room room;
    auto a = room.join(), b = room.join();
    CHECK(write(a, "first") == "5");
    auto late = room.join();
    CHECK(write(late, "early") == "5");
    CHECK(write(late, "x") == "would block");
    CHECK(try_read(b) == "firstearly");
    CHECK(try_read(a) == "early");
    CHECK(write(late, "x") == "1");
}

TEST_CASE("relay channel: a slow member is cut off after a time")
{
    RelayOptions options;
    options.slow = SlowMember::disconnect;
    options.slow_timeout = 30ms;
    Room room(options);
    auto a = room.join(), b = room.join(), slow = room.join();
    CHECK(write(a, "text") == "4");
    CHECK(try_read(b) == "text");
    auto cut = room.loop.start(slow.wait(Readiness::gone));
    CHECK(write(a, "more") == "would block");
    REQUIRE(room.loop.until([&] { return cut.done(); }));
    CHECK(try_read(slow) == "reset");
    CHECK(write(a, "more") == "4");
    CHECK(try_read(b) == "more");
    CHECK(room.witness.events.at(3) == "cut 3: the others have waited for it for too long");
    CHECK(room.witness.events.at(4) == "left 3 of 2 in channel 7");
}

TEST_CASE("relay channel: a slow member is cut off when too much is queued for it")
{
    RelayOptions options;
    options.slow = SlowMember::queue;
    options.slow_queue = 50'000;
    Room room(options);
    auto a = room.join(), b = room.join(), slow = room.join();
    SUBCASE("in large pieces")
    {
        const auto piece = noise(10'000, 1);
        for (int i = 0; i < 4; ++i) {
            CHECK(write(a, piece) == "10000");
            CHECK(try_read(b, 20'000) == piece);
        }
        CHECK(try_read(slow, 10'000) == piece);
        CHECK(write(a, piece) == "10000");
        CHECK(try_read(slow, 10'000) == piece);
        CHECK(write(a, piece) == "10000");
        CHECK(write(a, piece) == "10000");
        CHECK(try_read(slow) == "reset");
        CHECK(try_read(b, 10'000) == piece);
    }
    SUBCASE("byte by byte, from two senders")
    {
        int sent = 0;
        while (try_read(slow, 0) != "reset" && sent < 100'000) {
            REQUIRE(write(sent % 2 == 0 ? a : b, "x") == "1");
            REQUIRE(try_read(sent % 2 == 0 ? b : a) == "x");
            ++sent;
        }
        CHECK(sent > 40'000);
        CHECK(sent <= 50'000);
    }
    CHECK(room.witness.events.at(3) == "cut 3: too much is queued for it");
}

TEST_CASE("relay channel: what is sent alone is discarded, or held for who joins next")
{
    SUBCASE("discarded")
    {
        Room room;
        auto a = room.join();
        CHECK(write(a, std::string(1'000'000, 'x')) == "1000000");
        auto b = room.join();
        CHECK(try_read(b) == "would block");
        CHECK(write(a, "heard") == "5");
        CHECK(try_read(b) == "heard");
    }
    RelayOptions options;
    options.alone = SentAlone::hold;
    options.alone_limit = 1000;
    SUBCASE("held up to a bound, and then waited for")
    {
        Room room(options);
        auto a = room.join();
        const auto text = noise(3000, 1);
        CHECK(write(a, text) == "1000");
        CHECK(write(a, "more") == "would block");
        CHECK(room.status().held == 1000);
        auto room_again = room.loop.start(a.wait(Readiness::writable));
        auto b = room.join(), c = room.join();
        room.loop.settle();
        CHECK_FALSE(room_again.done());
        CHECK(try_read(b) == text.substr(0, 1000));
        room.loop.settle();
        CHECK(room_again.done());
        CHECK(write(a, text.substr(1000)) == "2000");
        CHECK(try_read(b) == text.substr(1000));
        CHECK(try_read(c) == text.substr(1000));
        CHECK(room.status().held == 0);
    }
    SUBCASE("whoever sent it stays until somebody has got it")
    {
        Room room(options);
        auto a = room.join();
        CHECK(write(a, "message") == "7");
        REQUIRE(a.shutdown_send());
        CHECK(try_read(a) == "would block");
        auto b = room.join();
        CHECK(try_read(b) == "message");
        CHECK(try_read(a) == "eof");
        CHECK(room.witness.events.back() == "left 1 of 1 in channel 7");
    }
}

TEST_CASE("relay channel: who ends its sending leaves once it has got what was sent before, or stays")
{
    SUBCASE("leaves")
    {
        Room room;
        auto a = room.join(), b = room.join();
        CHECK(write(a, "before") == "6");
        REQUIRE(b.shutdown_send());
        CHECK(write(b, "x") == "error");
        CHECK(room.witness.events.back() == "left 2 of 1 in channel 7");
        CHECK(write(a, "after") == "5");
        CHECK(try_read(b) == "before");
        CHECK(try_read(b) == "eof");
        auto c = room.join();
        CHECK(write(a, "c") == "1");
        CHECK(try_read(c) == "c");
    }
    SUBCASE("stays")
    {
        RelayOptions options;
        options.end = MemberEnd::stay;
        Room room(options);
        auto a = room.join(), b = room.join();
        REQUIRE(b.shutdown_send());
        CHECK(write(a, "after") == "5");
        CHECK(try_read(b) == "after");
        CHECK(try_read(b) == "would block");
        CHECK(room.status().members.at(1).ended);
    }
    SUBCASE("stays, and is asked whether it is still there")
    {
        RelayOptions options;
        options.end = MemberEnd::stay;
        Room room(options);
        Client client(room);
        const auto first_probe = [&] {
            int seconds = 0;
            socklen_t size = sizeof seconds;
            ::getsockopt(client.near_end, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &size);
            return seconds;
        };
        CHECK(first_probe() == 600);
        REQUIRE(client.stream.shutdown_send());
        CHECK(room.loop.until([&] { return first_probe() == 15; }));
        CHECK_FALSE(client.ended());
    }
}

TEST_CASE("relay channel: a member's end is the other's end of input, where ends pass")
{
    RelayOptions options;
    options.end = MemberEnd::pass;
    SUBCASE("each direction ends by itself, and then both leave their places to others")
    {
        Room room(options);
        auto a = room.join(), b = room.join();
        CHECK(write(a, "question") == "8");
        REQUIRE(a.shutdown_send());
        CHECK(try_read(b) == "question");
        CHECK(try_read(b) == "eof");
        CHECK(write(b, "answer") == "6");
        CHECK(room.status().members.size() == 2);
        REQUIRE(b.shutdown_send());
        auto next = room.join();
        CHECK(try_read(next) == "would block");
        CHECK(try_read(a) == "answer");
        CHECK(try_read(a) == "eof");
    }
    SUBCASE("a wait for input ends with it")
    {
        Room room(options);
        auto a = room.join(), b = room.join();
        auto waiting = room.loop.start(b.wait(Readiness::readable));
        room.loop.settle();
        REQUIRE(a.shutdown_send());
        room.loop.settle();
        CHECK(waiting.done());
    }
    SUBCASE("who joins later gets the end behind what was held")
    {
        options.alone = SentAlone::hold;
        Room room(options);
        auto a = room.join();
        CHECK(write(a, "message") == "7");
        REQUIRE(a.shutdown_send());
        auto b = room.join();
        CHECK(try_read(b) == "message");
        CHECK(try_read(b) == "eof");
        CHECK(write(b, "thanks") == "6");
        CHECK(try_read(a) == "thanks");
        CHECK(try_read(a) == "would block");
    }
    SUBCASE("a member that has gone resets the other, which gets what was sent before")
    {
        Room room(options);
        auto a = room.join(), b = room.join();
        auto gone = room.loop.start(b.wait(Readiness::gone));
        CHECK(write(a, "last words") == "10");
        a.abort();
        room.loop.settle();
        CHECK_FALSE(gone.done());
        auto next = room.join();
        CHECK(write(b, "x") == "error");
        CHECK(try_read(next) == "would block");
        CHECK(try_read(b) == "last words");
        CHECK(try_read(b) == "reset");
    }
    SUBCASE("a channel has two members")
    {
        Room room(options);
        auto a = room.join(), b = room.join();
        const auto third = room.loop.run(room.backend.open(room.channel, OpenRequest()));
        REQUIRE_FALSE(third);
        CHECK(third.error() == Errc::full);
    }
}

TEST_CASE("relay channel: a full one says so, and a member that has ended its sending has left its place to others")
{
    RelayOptions options;
    options.max_members = 2;
    Room room(options);
    auto a = room.join(), b = room.join();
    const auto third = room.loop.run(room.backend.open(room.channel, OpenRequest()));
    REQUIRE_FALSE(third);
    CHECK(third.error() == Errc::full);
    CHECK(third.error().message() == "channel 7 is full: it has all 2 members that it may have (max-connections)");
    CHECK(write(a, "last words") == "10");
    REQUIRE(b.shutdown_send());
    auto c = room.join();
    CHECK(write(c, "hello") == "5");
    CHECK(try_read(a) == "hello");
    CHECK(try_read(b) == "last words");
}

TEST_CASE("relay channel: a wait that is cancelled, or whose stream ends, completes; a closed channel takes nobody")
{
    Room room;
    auto a = room.join(), b = room.join();
    auto waiting = room.loop.start(a.wait(Readiness::readable));
    room.loop.settle();
    waiting.cancel();
    room.loop.settle();
    CHECK(aborted(waiting.value()));
    CHECK(aborted(room.loop.start_cancelled(a.wait(Readiness::readable)).value()));
    auto other = room.loop.start(b.wait(Readiness::readable));
    room.loop.settle();
    b.close();
    room.loop.settle();
    CHECK(aborted(other.value()));

    auto ended = room.loop.start(room.backend.wait(room.channel));
    room.loop.run(room.backend.stop(room.channel));
    REQUIRE(room.loop.until([&] { return ended.done(); }));
    room.loop.settle();
    CHECK(try_read(a) == "reset");
    const auto late = room.loop.run(room.backend.open(room.channel, OpenRequest()));
    REQUIRE_FALSE(late);
    CHECK(late.error() == Errc::instance_gone);
}

TEST_CASE("relay channel with sockets: every byte to everybody, both ways at once, while one is slow")
{
    Room room;
    Client a(room, 20'000), b(room, 20'000), slow(room, 4096);
    const auto from_a = noise(3'000'000, 1);
    auto sending = room.loop.start(socket_pair::write_and_end(a.stream, from_a, 1));
    auto to_b = room.loop.start(socket_pair::read_exactly(b.stream, from_a.size()));
    auto to_slow = room.loop.start(socket_pair::read_exactly(slow.stream, from_a.size()));
    REQUIRE(room.loop.until([&] { return to_b.done() && to_slow.done(); }));
    CHECK(sending.value());
    CHECK((to_b.value() == from_a));
    CHECK((to_slow.value() == from_a));
    CHECK(a.receive_all() == "");
    CHECK(a.end() == BridgeEnd::completed);
    CHECK_FALSE(b.ended());

    const auto from_b = noise(500'000, 2), from_slow = noise(500'000, 3);
    auto one = room.loop.start(socket_pair::write_and_end(b.stream, from_b, 2));
    auto other = room.loop.start(b.stream.write_all(bytes_of("")));
    auto to_slow_again = room.loop.start(socket_pair::read_exactly(slow.stream, from_b.size()));
    REQUIRE(room.loop.until([&] { return to_slow_again.done(); }));
    CHECK((to_slow_again.value() == from_b));
    CHECK(one.value());
    CHECK(other.value());
}

TEST_CASE("relay channel with sockets: bytes that were given back to a client's stream go first, as soon as they may")
{
    Room room;
    auto a = room.join(), b = room.join();
    CHECK(write(a, "first") == "5");
    SUBCASE("a few need not wait")
    {
        Client late(room, 0, "early");
        late.send(", late");
        room.loop.settle();
        CHECK(try_read(b) == "firstearly");
        CHECK(try_read(b) == "would block");
        CHECK(try_read(a) == "early");
        CHECK(room.loop.until([&] { return try_read(b) == ", late"; }));
    }
    SUBCASE("many wait until the slowest has read")
    {
        const auto early = noise(10'000, 1);
        Client late(room, 0, early);
        late.send(", late");
        room.loop.settle();
        CHECK(try_read(b, 20'000) == "first");
        std::string got;
        REQUIRE(room.loop.until([&] {
            std::string more = try_read(b, 20'000);
            try_read(a, 20'000);
            got += more == "would block" ? "" : more;
            return got.size() == early.size() + 6;
        }));
        CHECK(got == early + ", late");
    }
}

TEST_CASE("relay channel with sockets: both send at once without end of either's bytes in the other's")
{
    Room room;
    Client a(room), b(room);
    const auto from_a = noise(2'000'000, 1), from_b = noise(2'000'000, 2);
    auto a_sends = room.loop.start(a.stream.write_all(bytes_of(from_a)));
    auto b_sends = room.loop.start(b.stream.write_all(bytes_of(from_b)));
    auto to_a = room.loop.start(socket_pair::read_exactly(a.stream, from_b.size()));
    auto to_b = room.loop.start(socket_pair::read_exactly(b.stream, from_a.size()));
    REQUIRE(room.loop.until([&] { return to_a.done() && to_b.done(); }));
    CHECK((to_a.value() == from_b));
    CHECK((to_b.value() == from_a));
}

TEST_CASE("relay channel with sockets: a member that is reset is gone, and what it had sent arrives")
{
    Room room;
    Client a(room), b(room), c(room);
    const auto text = noise(100'000, 1);
    a.send(text);
    a.stream.abort();
    CHECK((b.receive(text.size()) == text));
    CHECK((c.receive(text.size()) == text));
    REQUIRE(room.loop.until([&] { return a.ended(); }));
    CHECK(a.end() == BridgeEnd::client_reset);
    b.send("on");
    CHECK(c.receive(2) == "on");
}

TEST_CASE("relay channel with sockets: two that both do not read, and one of them resets")
{
    Room room;
    Client a(room, 4096), b(room, 4096);
    const auto much = noise(1'000'000, 1);
    auto a_sends = room.loop.start(a.stream.write_all(bytes_of(much)));
    auto b_sends = room.loop.start(b.stream.write_all(bytes_of(much)));
    REQUIRE(room.loop.until([&] {
        const auto status = room.status();
        return status.members.at(0).waits && status.members.at(1).waits;
    }));
    a.stream.abort();
    REQUIRE(room.loop.until([&] { return a.ended(); }));
    CHECK(a.end() == BridgeEnd::client_reset);
    // It is alone now, and what it sends goes nowhere.
    REQUIRE(room.loop.until([&] { return b_sends.done(); }));
    CHECK(b_sends.value());
    Client again(room);
    again.send("back");
    std::string all;
    CHECK(room.loop.until([&] {
        if (const auto some = try_read(b.stream); some != "would block")
            all += some;
        return all.ends_with("back");
    }));
}

TEST_CASE("relay channel with sockets: a member that stops reading is cut off with a reset, and the others go on")
{
    RelayOptions options;
    options.slow = SlowMember::disconnect;
    options.slow_timeout = 50ms;
    Room room(options);
    Client a(room, 20'000), b(room, 20'000), stuck(room, 4096);
    const auto text = noise(3'000'000, 1);
    auto sending = room.loop.start(a.stream.write_all(bytes_of(text)));
    auto to_b = room.loop.start(socket_pair::read_exactly(b.stream, text.size()));
    REQUIRE(room.loop.until([&] { return to_b.done(); }));
    CHECK((to_b.value() == text));
    CHECK(stuck.ended());
    CHECK(stuck.end() == BridgeEnd::instance_reset);
    bool reset = false;
    const auto before = room.loop.run(socket_pair::read_all(stuck.stream, &reset));
    CHECK(reset);
    CHECK(text.starts_with(before));
}

TEST_CASE("relay channel with sockets: where ends pass, a member that is reset after its end resets the other")
{
    RelayOptions options;
    options.end = MemberEnd::pass;
    Room room(options);
    Client a(room), b(room);
    a.send("words");
    REQUIRE(a.stream.shutdown_send());
    CHECK(b.receive_all() == "words");
    CHECK_FALSE(b.ended());
    b.send("answer");
    CHECK(a.receive(6) == "answer");
    a.stream.abort();
    REQUIRE(room.loop.until([&] { return b.ended(); }));
    CHECK(b.end() == BridgeEnd::instance_reset);
}
