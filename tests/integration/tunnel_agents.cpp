// SPDX-License-Identifier: MIT
// A tunnel's server in this program, and agents that want to serve it: which of them does.
#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <doctest/doctest.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>
#include <instancer/tunnel/tunnel_server.hpp>
#include <instancer/workers.hpp>

#include <service.hpp>
#include <tunnel_peer.hpp>

using namespace instancer;
using namespace std::chrono_literals;
using service_test::eventually;
using tunnel_test::packed;
using tunnel_test::Wire;

namespace {

/// A server that soon gives up an agent that does not answer.
class Meeting {
public:
    explicit Meeting(std::chrono::milliseconds answer_timeout = 100ms)
    {
        TunnelServerOptions options;
        options.admits_agent = [](const asio::ip::address& address) { return address.is_loopback(); };
        options.link.answer_timeout = answer_timeout;
        std::vector<std::unique_ptr<Acceptor>> acceptors;
        acceptors.push_back(listen_tcp(home, {asio::ip::address_v4::loopback(), 0}).value());
        const auto address = acceptors.front()->address();
        port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
        server = std::make_unique<TunnelServer>(home, "server", options, std::move(acceptors), events);
        end_ = start(server->run());
        running_ = std::thread([this] { workers.run(); });
    }

    ~Meeting()
    {
        on_home([this] { server->stop(); });
        end_.wait();
        workers.stop();
        running_.join();
    }

    std::future<void> start(asio::awaitable<void> task)
    {
        const auto end = std::make_shared<std::promise<void>>();
        asio::co_spawn(home, std::move(task), [end](std::exception_ptr) { end->set_value(); });
        return end->get_future();
    }

    template <class Call>
    void on_home(Call call)
    {
        std::promise<void> done;
        asio::post(home, [&] {
            call();
            done.set_value();
        });
        done.get_future().wait();
    }

    /// Who serves.
    std::string serving()
    {
        std::string name;
        on_home([&] { name = server->agent(); });
        return name;
    }

    std::size_t warnings(const std::string& part) const
    {
        const auto all = events.record().warnings;
        return static_cast<std::size_t>(std::count_if(
            all.begin(), all.end(), [&](const auto& text) { return text.find(part) != std::string::npos; }));
    }

    std::string address() const { return "127.0.0.1:" + std::to_string(port); }

    service_test::Recorder events;
    Workers workers{1};
    const asio::any_io_executor home = workers.executor(0);
    std::uint16_t port = 0;
    std::unique_ptr<TunnelServer> server;

private:
    std::future<void> end_;
    std::thread running_;
};

/// An agent that says `greeting`, and then nothing of its own accord.
class Scripted : public Wire {
public:
    Scripted(const Meeting& meeting, const std::string& greeting) : Wire(daemon_test::connect_to(meeting.address()))
    {
        send("GRT", packed("127.0.0.1:1"), packed("127.0.0.1:2"), greeting);
    }

    /// The last that it is sent before its end.
    std::string last_words()
    {
        std::string last;
        while (const auto message = receive())
            last = message->data;
        return last;
    }
};

/// An agent of ours that does not wait for long.
class Impatient {
public:
    Impatient(Meeting& meeting, const std::string& name)
        : meeting_(meeting), agent_(meeting.home, name, options(meeting), bridge_, meeting.events)
    {
        end_ = meeting.start(agent_.run());
    }
    ~Impatient()
    {
        meeting_.on_home([this] { agent_.stop(); });
        end_.wait();
    }

private:
    static TunnelAgentOptions options(const Meeting& meeting)
    {
        TunnelAgentOptions options;
        options.host = "127.0.0.1";
        options.port = meeting.port;
        options.reconnect = 1ms;
        options.displaced_wait = 10ms;
        return options;
    }

    Meeting& meeting_;
    PairBridge bridge_;
    TunnelAgent agent_;
    std::future<void> end_;
};

const std::string ours = "instancer-tunnel 1 window=65536", displaced = ours + " displaced";

}  // namespace

TEST_CASE("tunnel agents: one that was displaced serves again once the other one gives no sign of life")
{
    Meeting meeting;
    Scripted silent(meeting, ours);
    REQUIRE(eventually([&] { return meeting.serving() != ""; }));
    const auto before = meeting.serving();
    Scripted asking(meeting, displaced);
    CHECK(silent.last_words().starts_with("instancer-tunnel 1 displaced by 127.0.0.1:"));
    CHECK(meeting.warnings("agent " + before + " gives no sign of life") == 1);
    REQUIRE(eventually([&] { return meeting.serving() != ""; }));
    CHECK(meeting.serving() != before);
}

TEST_CASE("tunnel agents: of an original's agent, its system's sign of life is enough")
{
    Meeting meeting;
    Scripted original(meeting, "hello");
    REQUIRE(eventually([&] { return meeting.serving() != ""; }));
    const auto before = meeting.serving();
    Scripted asking(meeting, displaced);
    CHECK(asking.last_words() == "instancer-tunnel 1 displaced by " + before);
    CHECK(meeting.serving() == before);
}

TEST_CASE("tunnel agents: one that was displaced serves at once when there is no other one")
{
    Meeting meeting;
    Scripted asking(meeting, displaced);
    CHECK(eventually([&] { return meeting.serving() != ""; }));
}

TEST_CASE(
    "tunnel agents: of several that ask for the place of one that is silent, one gets it; too many are not let in")
{
    Meeting meeting(2s);
    Scripted silent(meeting, ours);
    REQUIRE(eventually([&] { return meeting.serving() != ""; }));
    std::vector<std::unique_ptr<Scripted>> asking;
    for (int i = 0; i < 20; ++i)
        asking.push_back(std::make_unique<Scripted>(meeting, displaced));
    CHECK(eventually([&] { return meeting.warnings("is not let in: 16 others ask for the place") == 4; }));
    CHECK(eventually([&] { return meeting.warnings(" takes over") == 1; }));
}

TEST_CASE(
    "tunnel agents: two of ours do not fight; the displaced one asks again and again, and serves when the other goes")
{
    Meeting meeting;
    const Impatient first(meeting, "first");
    REQUIRE(eventually([&] { return meeting.serving() != ""; }));
    auto second = std::make_unique<Impatient>(meeting, "second");
    REQUIRE(eventually([&] { return meeting.warnings(" takes over") == 1; }));
    const auto serving = meeting.serving();
    CHECK(eventually([&] { return meeting.warnings(serving + " answers") >= 3; }));
    CHECK(meeting.serving() == serving);
    CHECK(meeting.warnings(" takes over") == 1);
    const auto told = "agent " + serving + " serves in our place; the server is asked again in 0 s";
    CHECK(eventually([&] { return meeting.warnings(told) >= 3; }));
    second.reset();
    CHECK(eventually([&] { return meeting.serving() != "" && meeting.serving() != serving; }));
}
