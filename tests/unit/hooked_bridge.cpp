// SPDX-License-Identifier: MIT
// What hooks can do with the bytes between two fake streams. What they must not disturb is in pair_bridge.cpp.
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <doctest/doctest.h>

#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"
#include "event_log.hpp"
#include "server_fixture.hpp"

using namespace async_test;
using instancer::BridgeEnd;
using instancer::HookAnswer;
using instancer::HookedBridge;
using instancer::HookFactory;
using instancer::Link;
using instancer::LinkState;
using instancer::SessionHook;
using instancer::SessionInfo;
using instancer::Usage;
using instancer::test::FakePeer;

namespace {

using Shown = std::function<HookAnswer(std::span<char>)>;
using Told = std::function<HookAnswer()>;

/// What a test wants done; and what happened.
struct Script {
    Shown from_client = [](std::span<char> data) { return HookAnswer(data); };
    Shown from_instance = from_client;
    Told client_ended = [] { return HookAnswer(); };
    Told instance_ended = client_ended;
    std::string said;  ///< What the hook was asked, in order.
};

class ScriptedHook final : public SessionHook {
public:
    explicit ScriptedHook(Script& script) : script_(script) {}
    ~ScriptedHook() override { script_.said += "gone;"; }

    HookAnswer from_client(std::span<char> data) override
    {
        script_.said += "up " + std::string(data.begin(), data.end()) + ";";
        return script_.from_client(data);
    }
    HookAnswer from_instance(std::span<char> data) override
    {
        script_.said += "down " + std::string(data.begin(), data.end()) + ";";
        return script_.from_instance(data);
    }
    HookAnswer client_ended() override
    {
        script_.said += "client ended;";
        return script_.client_ended();
    }
    HookAnswer instance_ended() override
    {
        script_.said += "instance ended;";
        return script_.instance_ended();
    }
    void session_ended(BridgeEnd end) override
    {
        script_.said += "session ended " + std::to_string(static_cast<int>(end)) + ";";
    }

private:
    Script& script_;
};

std::string ended(BridgeEnd end) { return "session ended " + std::to_string(static_cast<int>(end)) + ";gone;"; }

class Hooked {
public:
    explicit Hooked(Script& script)
        : Hooked([&script](const SessionInfo&) { return std::make_unique<ScriptedHook>(script); })
    {
    }
    explicit Hooked(HookFactory factory) : bridge(std::move(factory), events) {}

    void start() { bridging.emplace(loop.start(bridge.run(link))); }

    /// The link must stay until its bridge has completed.
    ~Hooked()
    {
        if (!bridging || bridging->done())
            return;
        bridging->cancel();
        loop.settle();
    }

    BridgeEnd end()
    {
        loop.settle();
        return bridging->value();
    }

    Loop loop;
    EventLog events;
    HookedBridge bridge;
    Usage usage;
    LinkState state;
    FakePeer client{loop.executor()}, instance{loop.executor()};
    Link link{client.take_stream(), instance.take_stream(), usage, state};
    std::optional<Task<BridgeEnd>> bridging;
};

/// A started one that runs as far as it can.
class Running : public Hooked {
public:
    template <class Hook>
    explicit Running(Hook&& hook) : Hooked(std::forward<Hook>(hook))
    {
        start();
        loop.settle();
    }

    void from_client(std::string_view text)
    {
        client.send(text);
        loop.settle();
    }

    void from_instance(std::string_view text)
    {
        instance.send(text);
        loop.settle();
    }
};

/// An answer that is there only when the test says so.
class Gate {
public:
    explicit Gate(const asio::any_io_executor& executor) : timer_(executor, asio::steady_timer::time_point::max()) {}

    asio::awaitable<HookAnswer> wait(std::span<char> data)
    {
        ++waiting;
        try {
            const auto [error] = co_await timer_.async_wait(instancer::as_result);
            static_cast<void>(error);
            const auto state = co_await asio::this_coro::cancellation_state;
            cancelled = instancer::is_cancelled(state);
        } catch (...) {
        }
        --waiting;
        co_return data;
    }

    void open() { timer_.cancel(); }

    int waiting = 0;
    bool cancelled = false;

private:
    asio::steady_timer timer_;
};

}  // namespace

TEST_CASE("hooked bridge: a hook that overrides nothing changes nothing, and is told of everything")
{
    Script script;
    Running bridged(script);
    bridged.from_client("question");
    bridged.from_instance("answer");
    bridged.client.shutdown_send();
    bridged.loop.settle();
    CHECK(bridged.instance.end_received());
    bridged.from_instance("more");
    bridged.instance.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::completed);
    CHECK(bridged.instance.received() == "question");
    CHECK(bridged.client.received() == "answermore");
    CHECK(script.said ==
          "up question;down answer;client ended;down more;instance ended;" + ended(BridgeEnd::completed));
    CHECK(bridged.usage.bytes_up() == 8);
    CHECK(bridged.usage.bytes_down() == 10);
}

TEST_CASE("hooked bridge: bytes are changed in place, replaced, left out, and added before the end")
{
    Script script;
    std::string outside = "outside";
    script.from_client = [&](std::span<char> data) -> HookAnswer {
        const std::string text(data.begin(), data.end());
        if (text == "drop")
            return {};
        if (text == "replace")
            return "another text that is longer than the one before";
        if (text == "borrow")
            return std::span<char>(outside);
        if (text == "less")
            return data.first(2);
        std::replace(data.begin(), data.end(), 'a', 'A');
        return data;
    };
    script.client_ended = [] { return HookAnswer("the end"); };
    script.instance_ended = [] { return HookAnswer("bye"); };
    Running bridged(script);
    for (const auto text : {"banana;", "drop", "replace", "borrow", "less"})
        bridged.from_client(text);
    bridged.client.shutdown_send();
    bridged.instance.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::completed);
    const std::string expected = "bAnAnA;another text that is longer than the one beforeoutsidelethe end";
    CHECK(bridged.instance.received() == expected);
    CHECK(bridged.instance.end_received());
    CHECK(bridged.client.received() == "bye");
    CHECK(bridged.usage.bytes_up() == expected.size());
}

TEST_CASE("hooked bridge: what is passed on waits for a receiver that has no room, and nothing is read meanwhile")
{
    Script script;
    script.from_client = [](std::span<char>) { return HookAnswer(std::string(1000, 'x')); };
    Running bridged(script);
    bridged.instance.set_room(10);
    bridged.from_client("a");
    bridged.from_client("b");
    CHECK(bridged.instance.received().size() == 10);
    CHECK(script.said == "up a;");
    CHECK(bridged.client.unread() == 1);
    bridged.instance.set_room(5000);
    bridged.loop.settle();
    CHECK(bridged.instance.received() == std::string(2000, 'x'));
}

TEST_CASE("hooked bridge: while a coroutine works its direction is not read, the other one is")
{
    Script script;
    Running bridged(script);
    Gate gate(bridged.loop.executor());
    script.from_client = [&](std::span<char> data) { return HookAnswer(gate.wait(data)); };
    bridged.from_client("first,");
    bridged.from_client("second");
    CHECK(gate.waiting == 1);
    CHECK(bridged.client.unread() == 6);
    CHECK(bridged.instance.received() == "");
    // Meanwhile another read must not touch what the coroutine still looks at.
    bridged.from_instance("XXXXXXXXXXXX");
    CHECK(bridged.client.received() == "XXXXXXXXXXXX");
    gate.open();
    bridged.loop.settle();
    CHECK(bridged.instance.received() == "first,");
    CHECK(gate.waiting == 1);
    CHECK(bridged.client.unread() == 0);
    gate.open();
    bridged.loop.settle();
    CHECK(bridged.instance.received() == "first,second");
}

TEST_CASE("hooked bridge: a coroutine is cancelled when its session ends")
{
    Script script;
    Running bridged(script);
    Gate gate(bridged.loop.executor());
    BridgeEnd expected = BridgeEnd::cancelled;
    SUBCASE("from outside")
    {
        script.from_client = [&](std::span<char> data) { return HookAnswer(gate.wait(data)); };
        bridged.from_client("x");
        REQUIRE(gate.waiting == 1);
        bridged.bridging->cancel();
    }
    SUBCASE("because the instance resets")
    {
        expected = BridgeEnd::instance_reset;
        script.from_client = [&](std::span<char> data) { return HookAnswer(gate.wait(data)); };
        bridged.from_client("x");
        REQUIRE(gate.waiting == 1);
        bridged.instance.reset();
    }
    SUBCASE("because the client resets")
    {
        expected = BridgeEnd::client_reset;
        script.from_instance = [&](std::span<char> data) { return HookAnswer(gate.wait(data)); };
        bridged.from_instance("x");
        REQUIRE(gate.waiting == 1);
        bridged.client.reset();
    }
    SUBCASE("because the instance has ended and has said all")
    {
        expected = BridgeEnd::completed;
        script.from_client = [&](std::span<char> data) { return HookAnswer(gate.wait(data)); };
        bridged.from_client("x");
        REQUIRE(gate.waiting == 1);
        bridged.instance.shutdown_send();
        bridged.loop.settle();
        CHECK(gate.waiting == 1);
        bridged.link.instance_ended();
    }
    CHECK(bridged.end() == expected);
    CHECK(gate.waiting == 0);
    CHECK(gate.cancelled);
    CHECK(bridged.client.gone());
    CHECK(bridged.instance.gone());
    CHECK(bridged.events.count_beginning("warning") == 0);
    CHECK(script.said.substr(script.said.size() - ended(expected).size()) == ended(expected));
}

TEST_CASE("hooked bridge: a hook ends the session in order, after its last bytes")
{
    Script script;
    bool by_coroutine = false;
    SUBCASE("by a plain function") {}
    SUBCASE("by a coroutine") { by_coroutine = true; }
    const auto quit = [](std::span<char> data) -> asio::awaitable<HookAnswer> {
        co_await asio::post(asio::use_awaitable);
        co_return data;
    };
    script.from_client = [&](std::span<char> data) {
        return by_coroutine ? HookAnswer::end(quit(data)) : HookAnswer::end(data);
    };
    Running bridged(script);
    bridged.from_instance("welcome");
    bridged.instance.set_room(2);
    bridged.from_client("quit");
    CHECK_FALSE(bridged.bridging->done());
    bridged.instance.set_room(100);
    CHECK(bridged.end() == BridgeEnd::ended_by_hook);
    CHECK(bridged.instance.received() == "quit");
    CHECK(bridged.client.received() == "welcome");
    for (auto* peer : {&bridged.client, &bridged.instance}) {
        CHECK(peer->end_received());
        CHECK_FALSE(peer->reset_received());
    }
    CHECK(script.said == "down welcome;up quit;" + ended(BridgeEnd::ended_by_hook));
}

TEST_CASE("hooked bridge: a hook resets the session")
{
    Script script;
    SUBCASE("seeing bytes")
    {
        script.from_instance = [](std::span<char>) { return HookAnswer::reset(); };
    }
    SUBCASE("at the end of a stream")
    {
        script.instance_ended = [] { return HookAnswer::reset(); };
    }
    Running bridged(script);
    bridged.from_instance("secret");
    bridged.instance.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::ended_by_hook);
    CHECK(bridged.client.reset_received());
    CHECK(bridged.instance.reset_received());
}

TEST_CASE("hooked bridge: an exception resets its own session alone, and is told of")
{
    Script script;
    const auto fail_later = []() -> asio::awaitable<HookAnswer> {
        co_await asio::post(asio::use_awaitable);
        throw std::runtime_error("out of luck");
    };
    SUBCASE("from a plain function")
    {
        script.from_client = [](std::span<char>) -> HookAnswer { throw std::runtime_error("out of luck"); };
    }
    SUBCASE("from a coroutine")
    {
        script.from_client = [&](std::span<char>) { return HookAnswer(fail_later()); };
    }
    SUBCASE("at the end of a stream")
    {
        script.client_ended = []() -> HookAnswer { throw std::runtime_error("out of luck"); };
    }
    SessionInfo session;
    session.id = 42;
    session.service = "web";
    Hooked bridged(script);
    bridged.link.introduce(session);
    bridged.start();
    bridged.client.send("x");
    bridged.client.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::hook_failed);
    CHECK(bridged.client.reset_received());
    CHECK(bridged.instance.reset_received());
    CHECK(bridged.events.count_beginning("warning") == 1);
    CHECK(bridged.events.has("warning: session 42: its hook failed: out of luck"));
    CHECK(script.said.find(ended(BridgeEnd::hook_failed)) != std::string::npos);
}

TEST_CASE("hooked bridge: when no hook can be made the session is reset")
{
    Running bridged(HookFactory(
        [](const SessionInfo&) -> std::unique_ptr<SessionHook> { throw std::runtime_error("no room for hooks"); }));
    CHECK(bridged.end() == BridgeEnd::hook_failed);
    CHECK(bridged.client.reset_received());
    CHECK(bridged.instance.reset_received());
    CHECK(bridged.events.count_beginning("warning") == 1);
}

TEST_CASE("hooked bridge: a session may have no hook")
{
    Running bridged(HookFactory([](const SessionInfo&) { return nullptr; }));
    bridged.from_client("question");
    bridged.client.shutdown_send();
    bridged.instance.shutdown_send();
    CHECK(bridged.end() == BridgeEnd::completed);
    CHECK(bridged.instance.received() == "question");
}

TEST_CASE("hooked bridge: the stop of an instance is not shown as the end of its stream")
{
    Script script;
    Hooked parts(script);
    parts.state.stop();
    FakePeer client(parts.loop.executor()), instance(parts.loop.executor());
    Link link(client.take_stream(), instance.take_stream(), parts.usage, parts.state);
    auto bridging = parts.loop.start(parts.bridge.run(link));
    instance.shutdown_send();
    parts.loop.settle();
    bridging.cancel();
    parts.loop.settle();
    CHECK(bridging.value() == BridgeEnd::cancelled);
    CHECK(script.said == ended(BridgeEnd::cancelled));
    CHECK(client.reset_received());
}

TEST_CASE("a server tells the hook whose session it is, and what ended by a hook is said to")
{
    using namespace server_fixture;
    class Curious final : public SessionHook {
    public:
        Curious(const SessionInfo& session, std::vector<std::string>& seen) : session_(session), seen_(seen) {}
        ~Curious() override { note(); }

        HookAnswer from_client(std::span<char> data) override
        {
            note();
            if (std::string_view(data.data(), data.size()) == "fail")
                throw std::runtime_error("failed");
            return HookAnswer::end();
        }

    private:
        void note()
        {
            seen_.push_back(std::to_string(session_.id) + " " + session_.service + " " + session_.instance + " " +
                            (session_.client.peer() ? session_.client.peer()->address().to_string() : ""));
        }

        const SessionInfo& session_;
        std::vector<std::string>& seen_;
    };
    std::vector<std::string> seen;
    EventLog warnings;
    Setup setup;
    setup.bridge = std::make_unique<HookedBridge>(
        [&seen](const SessionInfo& session) { return std::make_unique<Curious>(session, seen); }, warnings);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.joined();
    SUBCASE("in order")
    {
        fixture.send(client, "x");
        CHECK(fixture.rest(client) == "");
        CHECK(fixture.end() == SessionEnd::ended_by_hook);
    }
    SUBCASE("by an exception")
    {
        fixture.send(client, "fail");
        CHECK(fixture.rest(client) == " reset");
        CHECK(fixture.end() == SessionEnd::failed);
        CHECK(warnings.count_beginning("warning: session 1: its hook failed") == 1);
        auto next = fixture.joined();
        fixture.send(next, "x");
        CHECK(fixture.rest(next) == "");
    }
    REQUIRE(seen.size() >= 2);
    CHECK(seen[0] == "1 service " + fixture.summary().instance + " 127.0.0.1");
    CHECK(seen[1] == seen[0]);
    CHECK(fixture.summary().instance != "");
}
