// SPDX-License-Identifier: MIT
// The services of a daemon: prepared, added, drained and stopped while others run.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>

#include "daemon/preparation.hpp"
#include "daemon/service_list.hpp"

#include "async_test.hpp"
#include "listener.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using async_test::Loop;

namespace {

using Lines = std::vector<std::string>;
using State = ServiceList::State;

/// Notes what becomes of services, in order.
class Notes final : public ServiceObserver {
public:
    void serving(const RunningService& service) override { lines.push_back(service.name() + " serves"); }
    void ended(const RunningService& service) override { lines.push_back(service.name() + " ended"); }
    void failed(const RunningService& service, const std::string& why) override
    {
        lines.push_back(service.name() + " failed: " + why);
    }

    /// What has come since the last call.
    Lines take() { return std::exchange(lines, {}); }

    Lines lines;
};

OwnedSettings settings_named(const std::string& name)
{
    auto settings = std::make_shared<Settings>();
    settings->services.emplace_back(name, Mode::exec);
    return OwnedSettings(std::move(settings), 0);
}

/// A service that does as the test says.
class ScriptedService final : public RunningService {
public:
    ScriptedService(const std::string& name, const asio::any_io_executor& control, Notes& notes)
        : RunningService(settings_named(name)), ready(control), over(control), reading(control), notes_(notes)
    {
    }
    ~ScriptedService() override { notes_.lines.push_back(name() + " is gone"); }

    asio::awaitable<Result<void>> run(std::function<void()> serving) override
    {
        co_await ready.wait();
        if (!failure.empty())
            co_return fail(Errc::backend_unavailable, failure);
        if (!thrown.empty())
            throw std::runtime_error(thrown);
        serving();
        co_await over.wait();
        co_return Result<void>();
    }

    void drain() override { notes_.lines.push_back(name() + " drains"); }
    void do_retire() override { notes_.lines.push_back(name() + " retires"); }
    void stop() override
    {
        ready.set();
        over.set();
    }

    asio::awaitable<void> reload(HelperThreads&) override
    {
        ++reloads;
        co_await reading.wait();
    }

    asio::awaitable<std::string> condition() override
    {
        notes_.lines.push_back(name() + " reports");
        co_return std::string();
    }

    AsyncEvent ready, over, reading;
    std::string failure, thrown;
    int reloads = 0;

private:
    Notes& notes_;
};

/// A list on one worker, which the test runs.
class Fixture {
public:
    ScriptedService& add(const std::string& name, std::optional<ServiceList::Id> replaced = {})
    {
        auto service = std::make_unique<ScriptedService>(name, workers.control(), notes);
        auto& added = *service;
        last = list.add(std::move(service), replaced);
        return added;
    }

    ScriptedService& add_serving(const std::string& name)
    {
        auto& service = add(name);
        service.ready.set();
        loop.settle();
        notes.take();
        return service;
    }

    Log log{LogLevel::error, LogFormat::text};
    Notes notes;  // The workers destroy services that are left.
    Workers workers{1};
    Loop loop{workers.context(0)};
    ServiceList list{workers, notes, log};
    ServiceList::Id last = 0;
};

}  // namespace

TEST_CASE("service list: a service that fails is told from one that ended as it was asked to")
{
    Fixture f;
    f.add_serving("asked");
    const auto asked = f.last;
    auto& failing = f.add("failing");
    failing.failure = "no engine";
    auto& throwing = f.add("throwing");
    throwing.thrown = "no memory";
    f.list.stop(asked);
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"asked ended", "asked is gone"});
    failing.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"failing failed: no engine", "failing is gone"});
    throwing.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"throwing failed: no memory", "throwing is gone"});
}

TEST_CASE("service list: services come and go while others run")
{
    Fixture f;
    f.add_serving("one");
    const auto one = f.last;
    f.add_serving("two");
    const auto two = f.last;
    // Its successor has the same name, and begins before it ends.
    f.list.drain(one);
    auto& successor = f.add("one");
    f.loop.settle();
    const auto all = f.list.snapshot();
    REQUIRE(all.size() == 3);
    CHECK(all[0].name == "one");
    CHECK(all[0].state == State::ending);
    CHECK(all[1].state == State::serving);
    CHECK(all[2].name == "one");
    CHECK(all[2].state == State::starting);
    CHECK_FALSE(f.list.none_starting());
    CHECK(f.notes.take() == Lines{"one drains"});

    successor.ready.set();
    f.list.stop(one);
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"one serves", "one ended", "one is gone"});
    CHECK(f.list.none_starting());
    CHECK(f.list.snapshot().size() == 2);
    CHECK_FALSE(f.list.stop(one));
    CHECK_FALSE(f.list.drain(one));
    CHECK(f.list.drain(two));
}

TEST_CASE("service list: a service serves until the one that takes its place does")
{
    Fixture f;
    f.add_serving("old");
    const auto old = f.last;
    auto& next = f.add("next", old);
    auto& failing = f.add("failing", old);
    f.loop.settle();
    CHECK(f.list.snapshot().front().state == State::serving);
    CHECK(f.list.snapshot().back().replaced == old);
    failing.failure = "no image";
    failing.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"failing failed: no image", "failing is gone"});
    CHECK(f.list.snapshot().front().state == State::serving);
    next.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"old retires", "next serves"});
    CHECK(f.list.snapshot().front().state == State::ending);
    REQUIRE(f.list.service(f.last - 1));
    CHECK(f.list.service(f.last - 1)->name() == "next");
    CHECK(f.list.service(f.last) == nullptr);
    // It may be told to hurry yet.
    CHECK(f.list.drain(old));
    CHECK(f.notes.take() == Lines{"old drains"});
}

TEST_CASE("service list: the failure of a service whose place is taken already is no failure")
{
    Fixture f;
    auto& old = f.add("old");
    auto& next = f.add("next", f.last);
    next.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"old retires", "next serves"});
    old.failure = "no image";
    old.ready.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"old ended", "old is gone"});
}

TEST_CASE("service list: it is waited for until the last one has gone, whenever that was added")
{
    Fixture f;
    auto& one = f.add_serving("one");
    const auto waiting = f.loop.start(f.list.wait_empty());
    auto& two = f.add_serving("two");
    one.over.set();
    f.loop.settle();
    CHECK_FALSE(waiting.done());
    two.over.set();
    f.loop.settle();
    CHECK(waiting.done());
    CHECK(f.notes.take().back() == "two is gone");
}

TEST_CASE("service list: a service that is told to meanwhile reads its files once more")
{
    Fixture f;
    HelperThreads reader(1);
    auto& service = f.add_serving("one");
    f.list.reload_all(reader);
    f.list.reload_all(reader);
    f.loop.settle();
    CHECK(service.reloads == 1);
    f.list.reload_all(reader);
    service.reading.set();
    f.loop.settle();
    CHECK(service.reloads == 2);
    f.list.reload_all(reader);
    f.loop.settle();
    CHECK(service.reloads == 3);
}

TEST_CASE("service list: a service that ends while it reads its files stays until it has")
{
    Fixture f;
    HelperThreads reader(1);
    auto& service = f.add_serving("one");
    f.list.reload_all(reader);
    f.loop.settle();
    f.list.stop_all();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"one ended"});
    CHECK(f.list.snapshot().empty());
    service.reading.set();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"one is gone"});
}

TEST_CASE("service list: those that run are asked what there is")
{
    Fixture f;
    f.add_serving("one");
    f.add_serving("two");
    f.list.report_all();
    f.loop.settle();
    CHECK(f.notes.take() == Lines{"one reports", "two reports"});
    f.list.stop_all();
    f.loop.settle();
    f.notes.take();
    f.list.report_all();
    f.loop.settle();
    CHECK(f.notes.take().empty());
}

TEST_CASE("a service that cannot be prepared leaves nothing bound, whatever was bound before it")
{
    const daemon_test::Listener busy;
    const daemon_test::TemporaryDirectory directory;
    const auto first = directory.path("first");
    const auto settings = std::make_shared<Settings>();
    settings->file = "c.json";
    for (const auto& [name, address] :
         {std::pair("one", Address::unix_socket(first)), std::pair("two", *parse_address(busy.address()))}) {
        auto& service = settings->services.emplace_back(name, Mode::exec);
        service.listen.push_back(address);
        service.command = {"/bin/cat"};
    }
    Workers workers(1);
    Log log(LogLevel::error, LogFormat::text);
    ServiceContext context(workers, Settings(), log);
    const auto refused = prepare_services(settings, context);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().find("two: cannot listen on " + busy.address()) == 0);
    CHECK_FALSE(std::filesystem::exists(first));

    settings->services.pop_back();
    const auto prepared = prepare_services(settings, context);
    REQUIRE(prepared);
    CHECK(std::filesystem::exists(first));
    CHECK(prepared->front()->name() == "one");
}
