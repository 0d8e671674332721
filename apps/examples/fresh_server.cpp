// SPDX-License-Identifier: MIT
// A test suite that gives every test case a fresh server: what one case does to it, no other case can see.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <functional>
#include <thread>

#include <asio/co_spawn.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <doctest/doctest.h>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/open.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>

using namespace instancer;

/// Each connection to it gets a server process of its own. Two are always started already, so that no case waits.
class FreshServers {
public:
    static FreshServers& get()
    {
        static FreshServers servers;
        return servers;
    }

    std::string port() const { return address_.substr(address_.rfind(':') + 1); }

private:
    FreshServers()
    {
        acceptors_.push_back(listen_tcp(workers_.control(), {asio::ip::address_v4::loopback(), 0}).value());
        address_ = acceptors_.front()->address();
        thread_ = std::jthread([this] { run(); });
    }
    ~FreshServers()
    {
        asio::post(workers_.control(), [this] { stop_(); });
    }

    void run()
    {
        ProcessOptions program;  // The server under test: here it counts the lines that it gets.
        program.command = {"/bin/sh", "-c", "while read -r line; do n=$((n + 1)); echo $n; done"};
        ProcessBackend backend(workers_.control(), "tests", program, events_);
        PoolOptions options;
        options.warm = 2;
        InstancePool pool(workers_.control(), "tests", options, backend, events_);
        PairBridge bridge;
        Server server(workers_, ServerOptions("tests"), std::move(acceptors_), std::make_unique<OpenAuthenticator>(),
                      pool, bridge, events_);
        stop_ = [&] { server.stop(); };
        asio::co_spawn(workers_.control(), server.run(), [this](auto&&...) { workers_.stop(); });
        workers_.run();
    }

    Events events_;
    Workers workers_{1};
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::string address_;
    std::function<void()> stop_;
    std::jthread thread_;
};

TEST_CASE("a server counts the lines that it gets")
{
    asio::ip::tcp::iostream server("127.0.0.1", FreshServers::get().port());
    int count = 0;
    server << "a\nb\n" << std::flush;
    CHECK((server >> count >> count && count == 2));
}

TEST_CASE("no case sees what another has done")
{
    asio::ip::tcp::iostream server("127.0.0.1", FreshServers::get().port());
    int count = 0;
    server << "a\n" << std::flush;
    CHECK((server >> count && count == 1));
}
