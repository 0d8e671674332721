// SPDX-License-Identifier: MIT
// An InstanceBackend of one's own: its instances are counters in this very process, one for each client address.
#include <atomic>
#include <iostream>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <instancer/authenticator/source_address.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/read_line.hpp>
#include <instancer/service.hpp>
#include <instancer/socket_stream.hpp>

using namespace instancer;

struct Counter final : Instance::State {
    explicit Counter(const asio::any_io_executor& control) : ended(control, asio::steady_timer::time_point::max()) {}

    std::atomic<int> count = 0;  // Its connections are served by several threads.
    asio::steady_timer ended;
};

class CounterBackend final : public InstanceBackend {
    asio::awaitable<Result<Instance>> do_start(InstanceRequest) override
    {
        const auto control = co_await asio::this_coro::executor;
        co_return Instance("counter", std::make_shared<Counter>(control));
    }

    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest) override
    {
        const auto executor = co_await asio::this_coro::executor;
        auto ends = make_stream_pair(executor);
        if (!ends)
            co_return fail(ends.error());
        auto serving = serve(instance.shared_state<Counter>(), std::move(ends->first));
        asio::co_spawn(executor, std::move(serving), asio::detached);
        co_return std::move(ends->second);
    }

    static asio::awaitable<void> serve(std::shared_ptr<Counter> counter, Stream client)
    {
        for (auto line = co_await read_line(client, 1000); line; line = co_await read_line(client, 1000)) {
            const auto answer = std::to_string(++counter->count) + "\n";
            co_await client.write_all(answer);
        }
    }

    asio::awaitable<InstanceExit> do_wait(Instance instance) override
    {
        asio::error_code ignored;
        auto token = asio::redirect_error(asio::use_awaitable, ignored);
        co_await instance.state<Counter>().ended.async_wait(token);
        co_return InstanceExit("forgotten");
    }

    asio::awaitable<Result<void>> do_stop(Instance instance) override
    {
        instance.state<Counter>().ended.expires_at(asio::steady_timer::time_point::min());
        co_return Result<void>();
    }
};

class Printer final : public Events {
    void listening(std::string_view, std::string_view address) override { std::cout << address << std::endl; }
};

int main()
{
    Printer events;
    Service service("counter");
    service.listen({asio::ip::address_v4::loopback(), 0}).backend(std::make_unique<CounterBackend>());
    service.authenticator(std::make_unique<SourceAddressAuthenticator>()).observe(events);
    if (const auto served = service.run(); !served)
        return std::cerr << served.error().message() << std::endl, 1;
}
