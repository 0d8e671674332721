// SPDX-License-Identifier: MIT
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/open.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>

int main()
{
    using namespace instancer;
    Events events;  // Derive from it to hear what happens.
    Workers workers(2);
    ProcessOptions program;
    program.command = {"/bin/cat"};
    ProcessBackend backend(workers.control(), "echo", program, events);
    InstancePool pool(workers.control(), "echo", PoolOptions(), backend, events);
    PairBridge bridge;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(listen_tcp(workers.control(), {asio::ip::address_v4::loopback(), 1337}).value());
    Server server(workers, ServerOptions("echo"), std::move(acceptors), std::make_unique<OpenAuthenticator>(), pool,
                  bridge, events);
    asio::co_spawn(workers.control(), server.run(), asio::detached);
    workers.run();
}
