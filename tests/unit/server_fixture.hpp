// SPDX-License-Identifier: MIT
// A Server with real clients over loopback and fake instances, all on the thread of the test.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/open.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>
#include <instancer/test/fake_backend.hpp>

#include "async_test.hpp"
#include "event_log.hpp"
#include "socket_pair.hpp"

namespace server_fixture {

using namespace async_test;
using namespace instancer;
using instancer::test::FakeBackend;
using instancer::test::FakeInstance;
using instancer::test::FakePeer;

/// Admits at once with what the test wants said.
class ScriptedAuthenticator final : public Authenticator {
public:
    /// Gives `unread` back to the client's stream.
    explicit ScriptedAuthenticator(Admission admission, std::string unread = {})
        : admission_(std::move(admission)), unread_(std::move(unread))
    {
    }

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override
    {
        client.unread(unread_);
        co_return admission_;
    }

    Admission admission_;
    std::string unread_;
};

class Setup {
public:
    PoolOptions pool;
    BackendTraits traits;
    ServerOptions server{"service"};
    std::unique_ptr<Authenticator> authenticator = std::make_unique<OpenAuthenticator>();
    std::unique_ptr<Bridge> bridge = std::make_unique<PairBridge>();
    std::optional<AccessControlOptions> access;

    Setup()
    {
        pool.linger = 0s;
        pool.idle = 0s;
    }
};

class ServerFixture {
    std::uint16_t port_ = 0;  // Set while the server is made.

public:
    explicit ServerFixture(Setup setup = Setup())
        : backend(workers.control(), setup.traits),
          pool(workers.control(), setup.server.service, setup.pool, backend, events),
          bridge(std::move(setup.bridge)),
          access(setup.access ? std::make_shared<AccessControl>(workers.control(), std::move(*setup.access)) : nullptr),
          server(workers, setup.server, listeners(), std::move(setup.authenticator), pool, *bridge, events)
    {
    }

    ~ServerFixture()
    {
        backend.prepares.release();
        backend.starts.release();
        backend.opens.release();
        backend.stops.release();
        server.stop();
        if (running)
            CHECK(loop.until([&] { return running->done(); }));
        CHECK(backend.running() == 0);
        CHECK(server.sessions() == 0);
        // Every session and every instance ended once.
        CHECK(events.count_beginning("session ") == 2 * events.sessions().size());
        for (const auto& session : events.sessions())
            CHECK(events.count_beginning("session " + std::to_string(session.id) + ":") == 1);
    }

    void start()
    {
        running.emplace(loop.start(server.run()));
        loop.settle();
    }

    /// A client's connection, which the server has yet to notice.
    UniqueFd socket_to_server(const char* from = "127.0.0.1") const
    {
        UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        REQUIRE(::inet_pton(AF_INET, from, &address.sin_addr) == 1);
        REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        return socket;
    }

    /// A client with a connection of its own.
    Stream connect(const char* from = "127.0.0.1")
    {
        auto stream = make_socket_stream(loop.executor(), socket_to_server(from));
        loop.settle();
        return stream;
    }

    /// A client that is joined to its instance.
    Stream joined()
    {
        const auto before = connections();
        auto client = connect();
        REQUIRE(loop.until([&] { return connections() == before + 1; }));
        loop.settle();
        return client;
    }

    /// The far end of the connection that was opened last.
    FakePeer& last_connection()
    {
        FakePeer* last = nullptr;
        for (const auto& instance : backend.instances())
            if (!instance->connections().empty())
                last = &instance->connections().back();
        REQUIRE(last != nullptr);
        return *last;
    }

    FakeInstance& instance(std::size_t number) { return *backend.instances().at(number - 1); }

    void send(Stream& client, std::string_view text) { loop.run(client.write_all(bytes_of(text))); }

    /// Everything that a client still gets; ` reset` follows if its connection is reset.
    std::string rest(Stream& client)
    {
        bool reset = false;
        auto all = loop.run(socket_pair::read_all(client, &reset));
        return all + (reset ? " reset" : "");
    }

    /// Why the only session that there was ended.
    SessionEnd end() { return summary().end; }
    SessionSummary summary()
    {
        REQUIRE(loop.until([&] { return !events.sessions().empty(); }));
        return events.sessions().front();
    }

    /// Passes bytes from the client until they have arrived.
    bool arrives(FakePeer& peer, const std::string& text)
    {
        return loop.until([&] { return peer.received() == text; });
    }

    Workers workers{1};
    Loop loop{workers.context(0)};
    EventLog events;
    FakeBackend backend;
    InstancePool pool;
    std::unique_ptr<Bridge> bridge;
    std::shared_ptr<AccessControl> access;
    Acceptor* listener = nullptr;
    Server server;
    std::optional<Task<Result<void>>> running;

private:
    std::size_t connections() const
    {
        std::size_t count = 0;
        for (const auto& instance : backend.instances())
            count += instance->connections().size();
        return count;
    }

    std::vector<std::unique_ptr<Acceptor>> listeners()
    {
        const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);
        auto acceptor = listen_tcp(workers.control(), any_port);
        REQUIRE(acceptor);
        const auto address = (*acceptor)->address();
        port_ = static_cast<std::uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1));
        listener = acceptor->get();
        std::vector<std::unique_ptr<Acceptor>> all;
        if (access)
            all.push_back(std::make_unique<ControlledAcceptor>(std::move(*acceptor), access));
        else
            all.push_back(std::move(*acceptor));
        return all;
    }
};

}  // namespace server_fixture
