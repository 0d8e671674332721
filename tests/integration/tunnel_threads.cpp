// SPDX-License-Identifier: MIT
// Both ends of a reverse tunnel in one program, as somebody embeds them: sessions come in on any worker and go on where
// the link lives.
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <doctest/doctest.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>
#include <instancer/tunnel/tunnel_authenticator.hpp>
#include <instancer/tunnel/tunnel_backend.hpp>

#include <listener.hpp>
#include <service.hpp>
#include <tunnel.hpp>

using namespace daemon_test;
using namespace instancer;
using service_test::eventually;

namespace {

/// Echoes, with a thread for each connection.
class Echo {
public:
    Echo()
    {
        acceptor_ = std::thread([this] {
            for (;;) {
                UniqueFd socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
                if (!socket)
                    return;
                serving_.emplace_back([socket = std::move(socket)] {
                    char buffer[65536];
                    for (;;) {
                        const auto count = ::recv(socket.get(), buffer, sizeof buffer, 0);
                        if (count <= 0 ||
                            ::send(socket.get(), buffer, static_cast<std::size_t>(count), MSG_NOSIGNAL) != count)
                            return;
                    }
                });
            }
        });
    }
    ~Echo()
    {
        ::shutdown(listener_.fd(), SHUT_RDWR);
        acceptor_.join();
        for (auto& thread : serving_)
            thread.join();
    }

    TunnelAddress address() const { return {0x7f000001, static_cast<std::uint16_t>(std::stoi(listener_.port()))}; }

private:
    Listener listener_;
    std::thread acceptor_;
    std::vector<std::thread> serving_;
};

std::uint16_t port_of(const Acceptor& acceptor)
{
    const auto address = acceptor.address();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

asio::awaitable<Result<bool>> known_unless_third(asio::ip::address address)
{
    co_return address.to_string() != "127.0.0.3";
}

}  // namespace

TEST_CASE("tunnel, embedded: users on several threads, looked at and disconnected meanwhile, and an end in order")
{
    const Echo target;
    service_test::Recorder events;
    Workers workers(3);
    const auto control = workers.control(), home = workers.executor(1);
    const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);

    std::vector<std::unique_ptr<Acceptor>> agents, users;
    agents.push_back(listen_tcp(home, any_port).value());
    users.push_back(listen_tcp(control, any_port).value());
    const auto agents_port = port_of(*agents.front()), users_port = port_of(*users.front());
    TunnelServerOptions server_options;
    server_options.admits_agent = [](const asio::ip::address& address) { return address.is_loopback(); };
    TunnelServer tunnel(home, "tunnel", server_options, std::move(agents), events);
    TunnelBackend backend(control, tunnel, target.address());
    InstancePool pool(control, "users", UpstreamBackend::default_pool_options(), backend, events);
    PairBridge bridge;
    Server server(workers, ServerOptions("users"), std::move(users),
                  std::make_unique<TunnelAuthenticator>(&known_unless_third), pool, bridge, events);
    TunnelAgentOptions agent_options;
    agent_options.host = "127.0.0.1";
    agent_options.port = agents_port;
    TunnelAgent agent(workers.executor(2), "agent", agent_options, bridge, events);

    std::atomic<int> over = 0;
    const auto end = [&](std::exception_ptr failure) {
        CHECK(!failure);
        ++over;
    };
    auto tunnel_run = tunnel.run(), agent_run = agent.run();
    auto server_run = server.run();
    asio::co_spawn(home, std::move(tunnel_run), end);
    asio::co_spawn(workers.executor(2), std::move(agent_run), end);
    asio::co_spawn(control, std::move(server_run), [&](std::exception_ptr failure, Result<void> result) {
        CHECK(result.has_value());
        end(failure);
    });
    std::thread running([&] { workers.run(); });

    std::atomic<bool> done = false;
    std::thread looking([&] {
        while (!done) {
            // One look at a time: many that are queued would leave the tunnel no turn.
            std::promise<void> looked;
            asio::post(home, [&] {
                tunnel.sessions();
                looked.set_value();
            });
            looked.get_future().wait();
        }
    });
    std::vector<std::thread> clients;
    std::atomic<int> good = 0;
    for (unsigned i = 0; i < 6; ++i)
        clients.emplace_back([&, i] {
            for (unsigned round = 0; round < 4; ++round) {
                const auto data = tunnel_test::random_bytes(100'000, i * 10 + round);
                RawClient client(users_port);
                good += tunnel_test::echo_of(client, data, true) == data ? 1 : 0;
            }
        });
    for (auto& client : clients)
        client.join();
    CHECK(good == 24);

    RawClient unknown(users_port, "127.0.0.3");
    CHECK(unknown.receive_all() == "");
    CHECK(unknown.ended_in_order());
    RawClient held(users_port);
    held.send("x");
    CHECK(held.receive(1) == "x");
    const auto name = "127.0.0.1:" + std::to_string(held.local_port());
    std::atomic<bool> found = false;
    asio::post(home, [&] { found = tunnel.disconnect(name); });
    CHECK(held.receive_all() == "");
    CHECK(held.ended_by_reset());
    CHECK(found);

    done = true;
    looking.join();
    asio::post(control, [&] { server.drain(std::chrono::seconds(10)); });
    CHECK(eventually([&] { return over == 1; }));
    asio::post(home, [&] { tunnel.stop(); });
    asio::post(workers.executor(2), [&] { agent.stop(); });
    CHECK(eventually([&] { return over == 3; }));
    workers.stop();
    running.join();
}
