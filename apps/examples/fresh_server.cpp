// SPDX-License-Identifier: MIT
// A test suite that gives every test case a fresh server: what one case does to it, no other case can see.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdlib>
#include <future>
#include <iostream>
#include <thread>

#include <asio/ip/tcp.hpp>
#include <doctest/doctest.h>
#include <instancer/backend/process_backend.hpp>
#include <instancer/events.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/service.hpp>

using namespace instancer;

/// Each connection to it gets a server process of its own. Two are always started already, so that no case waits.
class FreshServers final : Events {
public:
    static FreshServers& get()
    {
        static FreshServers servers;
        return servers;
    }

    const std::string& port() const { return port_; }

private:
    FreshServers()
    {
        ProcessOptions program;  // The server under test: here it counts the lines that it gets.
        program.command = {"/bin/sh", "-c", "while read -r line; do n=$((n + 1)); echo $n; done"};
        PoolOptions options;
        options.warm = 2;
        service_.listen({asio::ip::address_v4::loopback(), 0}).backend<ProcessBackend>(program);
        service_.pool_options(options).workers(1).handle_signals(false).observe(*this);
        thread_ = std::jthread([this] { run(); });
        port_ = listens_.get_future().get();
    }
    ~FreshServers() override { service_.stop(); }

    void run()
    {
        const auto served = service_.run();
        if (served)
            return;
        std::cerr << served.error().message() << std::endl;
        std::_Exit(1);
    }

    void listening(std::string_view, std::string_view address) override
    {
        listens_.set_value(std::string(address.substr(address.rfind(':') + 1)));
    }

    std::promise<std::string> listens_;
    std::string port_;
    Service service_{"tests"};
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
