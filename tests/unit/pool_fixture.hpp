// SPDX-License-Identifier: MIT
// An InstancePool over a fake backend, on the thread of the test.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/pool/instance_pool.hpp>
#include <instancer/test/fake_backend.hpp>

#include "async_test.hpp"
#include "event_log.hpp"

namespace pool_fixture {

using namespace async_test;
using instancer::AcquireRequest;
using instancer::BackendTraits;
using instancer::ClientInfo;
using instancer::Errc;
using instancer::Error;
using instancer::Identity;
using instancer::InstanceBudget;
using instancer::InstanceEnd;
using instancer::InstancePool;
using instancer::Lease;
using instancer::PoolOptions;
using instancer::Result;
using instancer::Stream;
using instancer::test::FakeBackend;
using instancer::test::FakeInstance;

inline Identity identity(std::string_view name) { return Identity("service", name, ""); }

/// Options that let nothing happen by time.
inline PoolOptions timeless()
{
    PoolOptions options;
    options.max_starting = 0;
    options.queue_timeout = 0s;
    options.start_timeout = 0s;
    options.idle = 0s;
    options.linger = 1h;
    return options;
}

/// Somebody who asked for a session.
class Asker {
public:
    Asker(Task<Result<Lease>> task, std::shared_ptr<std::vector<InstanceEnd>> ends)
        : task_(std::move(task)), ends_(std::move(ends))
    {
    }

    bool answered() const { return task_.done(); }
    bool served() { return answered() && task_.value().has_value(); }
    bool refused(Errc code) { return answered() && !task_.value() && task_.value().error() == code; }
    std::string why() { return task_.value().error().message(); }
    Lease& lease() { return *task_.value(); }
    void leave() { lease() = Lease(); }
    void cancel() { task_.cancel(); }

    /// What the pool said about the end of the instance.
    const std::vector<InstanceEnd>& ends() const { return *ends_; }

private:
    Task<Result<Lease>> task_;
    std::shared_ptr<std::vector<InstanceEnd>> ends_;
};

class PoolFixture {
public:
    explicit PoolFixture(const PoolOptions& options = timeless(), const BackendTraits& traits = {},
                         std::shared_ptr<InstanceBudget> budget = nullptr)
        : backend(loop.executor(), traits),
          pool(loop.executor(), "service", options, backend, events, std::move(budget))
    {
    }

    ~PoolFixture()
    {
        backend.prepares.release();
        backend.starts.release();
        backend.opens.release();
        backend.personalizations.release();
        backend.stops.release();
        pool.close();
        loop.settle();
        loop.run(pool.wait_empty());
        CHECK(backend.running() == 0);
        CHECK(pool.snapshot().empty());
        CHECK(events.count_beginning("started ") + events.count_beginning("adopted ") <=
              events.count_beginning("ended "));
    }

    bool start() { return loop.run(pool.start()).has_value(); }

    Asker ask(std::string_view who, bool reset = false)
    {
        auto ends = std::make_shared<std::vector<InstanceEnd>>();
        auto task = loop.start(pool.acquire(request(who, reset, ends)));
        loop.settle();
        return Asker(std::move(task), std::move(ends));
    }

    /// Asks in a coroutine that has been cancelled already.
    Asker ask_cancelled(std::string_view who)
    {
        auto ends = std::make_shared<std::vector<InstanceEnd>>();
        auto task = loop.start_cancelled(pool.acquire(request(who, false, ends)));
        loop.settle();
        return Asker(std::move(task), std::move(ends));
    }

    FakeInstance& instance(std::size_t number) { return *backend.instances().at(number - 1); }

    Loop loop;
    EventLog events;
    FakeBackend backend;
    InstancePool pool;

private:
    using EndsPtr = std::shared_ptr<std::vector<InstanceEnd>>;

    static AcquireRequest request(std::string_view who, bool reset, const EndsPtr& ends)
    {
        const asio::ip::tcp::endpoint peer(asio::ip::make_address("192.0.2.1"), 5000);
        const asio::ip::tcp::endpoint local(asio::ip::make_address("192.0.2.2"), 1337);
        AcquireRequest made(identity(who), ClientInfo(peer, local));
        made.reset(reset);
        made.on_end([ends](InstanceEnd end) { ends->push_back(end); });
        return made;
    }
};

}  // namespace pool_fixture
