// SPDX-License-Identifier: MIT
// A Service as a program of somebody else has it: on a thread of the test, with real processes and real signals.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <asio/error.hpp>
#include <doctest/doctest.h>
#include <unistd.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/source_address.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/event_list.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/server.hpp>
#include <instancer/service.hpp>

#include <listener.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace instancer;
using daemon_test::RawClient;

namespace {

const asio::ip::tcp::endpoint any_port(asio::ip::address_v4::loopback(), 0);

ProcessOptions cat(std::string path = "/bin/cat")
{
    ProcessOptions program;
    program.command = {std::move(path)};
    return program;
}

class Observer final : public Events {
public:
    /// Where the service listens, once it does.
    std::string address() { return listens_.get_future().get(); }

    int sessions() const { return sessions_; }
    bool catches_termination() const { return catches_termination_; }

private:
    void listening(std::string_view, std::string_view address) override
    {
        catches_termination_ = termination_handler() != before_;
        listens_.set_value(std::string(address));
    }
    void session_ended(const SessionSummary&) override { ++sessions_; }

    using Handler = void (*)(int);

    static Handler termination_handler()
    {
        struct sigaction action {};
        ::sigaction(SIGTERM, nullptr, &action);
        return action.sa_handler;
    }

    const Handler before_ = termination_handler();
    std::promise<std::string> listens_;
    std::atomic<int> sessions_ = 0;
    std::atomic<bool> catches_termination_ = false;
};

/// A service that runs on a thread of its own, until it is told to end.
class Running {
public:
    explicit Running(Service& service) : service_(service)
    {
        service_.observe(observer);
        result_ = std::async(std::launch::async, [this] { return service_.run(); });
        address = observer.address();
    }
    ~Running() { service_.stop(); }

    RawClient connect() const
    {
        return RawClient(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    }

    Result<void> result() { return result_.get(); }

    Observer observer;
    std::string address;

private:
    Service& service_;
    std::future<Result<void>> result_;
};

bool is_echoed(RawClient& client)
{
    client.send("hello\n");
    return client.receive_line() == "hello";
}

}  // namespace

TEST_CASE("a service gives a client its process, and another thread stops it")
{
    Service service("echo");
    service.listen(any_port).backend<ProcessBackend>(cat());
    Running running(service);
    auto client = running.connect();
    CHECK(is_echoed(client));
    service.stop();
    CHECK(running.result());
    CHECK(running.observer.sessions() == 1);
    CHECK(client.receive_all() == "");
    CHECK(!running.connect().connected());
}

TEST_CASE("a service lets its sessions finish at the first signal, and ends them at the second")
{
    Service service("echo");
    service.listen(any_port).backend<ProcessBackend>(cat()).drain_timeout(std::chrono::seconds(0));
    Running running(service);
    CHECK(running.observer.catches_termination());
    auto staying = running.connect();
    auto leaving = running.connect();
    CHECK(is_echoed(staying));
    CHECK(is_echoed(leaving));
    ::kill(::getpid(), SIGTERM);
    while (running.connect().connected()) {}
    CHECK(is_echoed(staying));
    leaving.half_close();
    CHECK(leaving.receive_all() == "");
    ::kill(::getpid(), SIGINT);
    CHECK(running.result());
    CHECK(running.observer.sessions() >= 2);
}

TEST_CASE("a drained service ends with its last session")
{
    Service service("echo");
    service.listen(any_port).backend<ProcessBackend>(cat()).handle_signals(false);
    Running running(service);
    CHECK(!running.observer.catches_termination());
    auto client = running.connect();
    CHECK(is_echoed(client));
    service.drain();
    CHECK(is_echoed(client));
    client.half_close();
    CHECK(running.result());
}

TEST_CASE("a service that is stopped before it runs ends at once")
{
    Service service("echo");
    service.listen(any_port).backend<ProcessBackend>(cat());
    service.stop();
    CHECK(service.run());
}

TEST_CASE("the parts of a service can be replaced")
{
    const daemon_test::TemporaryDirectory directory;
    const auto path = directory.path("socket");
    PoolOptions pool;
    pool.max_instances = 1;
    ServerOptions server("a name that does not count");
    server.session_timeout = std::chrono::hours(1);
    Observer second;
    Service service("echo");
    service.acceptor([&](const auto& control) { return listen_unix(control, path); });
    service.authenticator(std::make_unique<SourceAddressAuthenticator>()).pool_options(pool).server_options(server);
    service.backend([](const auto& control, const auto& name, auto& events) {
        return std::make_unique<ProcessBackend>(control, name, cat(), events);
    });
    service.workers(1).observe(second);
    Running running(service);
    CHECK(running.address == "unix:" + path);
    CHECK(second.address() == running.address);
    RawClient first(path);
    CHECK(is_echoed(first));
    RawClient refused(path);
    CHECK(refused.receive_all() == "");
    service.stop();
    CHECK(running.result());
}

TEST_CASE("a service says which address is taken, and the remedy")
{
    const daemon_test::Listener taken;
    Service service("echo");
    service.listen({asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(std::stoi(taken.port()))});
    service.backend<ProcessBackend>(cat());
    const auto result = service.run();
    REQUIRE(!result);
    CHECK(result.error() == asio::error::make_error_code(asio::error::address_in_use));
    CHECK(result.error().message() ==
          "cannot listen on 127.0.0.1:" + taken.port() +
              " (stop the program that listens there already (ss -ltnp shows it), or choose another "
              "port): Address already in use");
}

TEST_CASE("a service says which program is missing, and the remedy")
{
    Service service("echo");
    service.listen(any_port).backend<ProcessBackend>(cat("/bin/catt"));
    const auto result = service.run();
    REQUIRE(!result);
    CHECK(result.error() == Errc::bad_request);
    CHECK(result.error().message() == "/bin/catt: No such file or directory; correct the path");
}

TEST_CASE("a service says what it lacks")
{
    Service without_listener("echo");
    without_listener.backend<ProcessBackend>(cat());
    CHECK(without_listener.run().error().message() == "service echo: nobody can connect; call listen() before run()");
    Service without_backend("echo");
    without_backend.listen(any_port);
    CHECK(without_backend.run().error().message() ==
          "service echo: there are no instances to serve; call backend() before run()");
    CHECK(without_backend.run().error().message() == "service echo: run() was called before; make another Service");
}
