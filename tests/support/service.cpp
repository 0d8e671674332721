// SPDX-License-Identifier: MIT
#include <service.hpp>

#include <atomic>
#include <future>

#include <asio/co_spawn.hpp>
#include <asio/dispatch.hpp>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/server.hpp>

namespace service_test {

namespace {

std::string unique_name()
{
    static std::atomic<unsigned> count{0};
    return "s" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

std::vector<std::unique_ptr<Acceptor>> listen(const asio::any_io_executor& executor)
{
    auto acceptor = listen_tcp(executor, {asio::ip::address_v4::loopback(), 0});
    REQUIRE(acceptor);
    std::vector<std::unique_ptr<Acceptor>> all;
    all.push_back(std::move(*acceptor));
    return all;
}

std::uint16_t port_in(const std::string& address)
{
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

ServerOptions server_options(const std::string& name)
{
    ServerOptions options(name);
    options.auth_timeout = 5s;
    return options;
}

}  // namespace

struct Service::Impl {
    explicit Impl(const ServiceOptions& options)
        : name(unique_name()),
          leftovers(options.process.name, name),
          workers(options.threads),
          backend(workers.control(), name, options.process, events),
          pool(workers.control(), name, options.pool, backend, events, options.budget),
          acceptors(listen(workers.control())),
          port(port_in(acceptors.front()->address())),
          server(workers, server_options(name), std::move(acceptors), options.authenticator(), pool, bridge, events)
    {
        auto run = server.run();
        asio::co_spawn(workers.control(), std::move(run), [this](std::exception_ptr, Result<void> outcome) {
            result.set_value(std::move(outcome));
            workers.stop();
        });
        thread = std::thread([this] { workers.run(); });
    }

    template <class Question>
    std::size_t ask(const Question& question)
    {
        std::promise<std::size_t> answer;
        asio::dispatch(workers.control(), [&] { answer.set_value(question(*this)); });
        return answer.get_future().get();
    }

    std::string name;
    Leftovers leftovers;
    Recorder events;
    PairBridge bridge;
    Workers workers;
    ProcessBackend backend;
    InstancePool pool;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    std::uint16_t port;
    Server server;
    std::promise<Result<void>> result;
    std::shared_future<Result<void>> finished = result.get_future().share();
    std::thread thread;
};

Service::Service(const ServiceOptions& options) : impl_(std::make_unique<Impl>(options)) {}

Service::~Service()
{
    stop();
    const bool stopped = over();
    CHECK_MESSAGE(stopped, "the service does not stop");
    if (!stopped)
        impl_->workers.stop();
    impl_->thread.join();
    const auto record = events().record();
    CHECK(record.sessions.size() == record.sessions_started);
    CHECK(record.instances.size() - record.count(InstanceEnd::start_failed) <= record.started.size());
    const auto left = leftovers();
    impl_.reset();
    CHECK(left.none());
}

const std::string& Service::name() const noexcept { return impl_->name; }
std::uint16_t Service::port() const noexcept { return impl_->port; }
Recorder& Service::events() noexcept { return impl_->events; }
const Leftovers& Service::leftovers() const noexcept { return impl_->leftovers; }

void Service::drain(std::chrono::steady_clock::duration limit)
{
    asio::dispatch(impl_->workers.control(), [this, limit] { impl_->server.drain(limit); });
}

void Service::stop()
{
    asio::dispatch(impl_->workers.control(), [this] { impl_->server.stop(); });
}

bool Service::over(std::chrono::steady_clock::duration limit)
{
    return impl_->finished.wait_for(limit) == std::future_status::ready;
}

Result<void> Service::result()
{
    REQUIRE(over());
    return impl_->finished.get();
}

std::size_t Service::instances()
{
    return impl_->ask([](Impl& impl) { return impl.pool.snapshot().size(); });
}

std::size_t Service::sessions()
{
    return impl_->ask([](Impl& impl) { return impl.server.sessions(); });
}

}  // namespace service_test
