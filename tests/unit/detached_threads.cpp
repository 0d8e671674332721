// SPDX-License-Identifier: MIT
#include <atomic>
#include <future>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <instancer/async/host_resolver.hpp>
#include <instancer/detail/async/detached_threads.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::Errc;
using instancer::HostResolver;
using instancer::Result;
using instancer::detail::DetachedThreads;

namespace {

/// A call that blocks until the test lets it go on, and says when it has.
class Blocking {
public:
    Blocking() : state_(std::make_shared<State>()) {}
    ~Blocking() { release(); }

    auto call() const
    {
        return [state = state_]() -> Result<int> {
            ++state->begun;
            state->may_go_on.wait();
            ++state->ended;
            return 42;
        };
    }

    int begun() const { return state_->begun; }
    int ended() const { return state_->ended; }

    void release()
    {
        if (!std::exchange(released_, true))
            state_->gate.set_value();
    }

private:
    struct State {
        std::promise<void> gate;
        std::shared_future<void> may_go_on = gate.get_future().share();
        std::atomic<int> begun = 0, ended = 0;
    };

    std::shared_ptr<State> state_;
    bool released_ = false;
};

}  // namespace

TEST_CASE("detached threads: a call that blocks delays no other, up to as many as there may be")
{
    Loop loop;
    DetachedThreads threads(2);
    Blocking blocking;
    auto slow = loop.start(threads.run(blocking.call()));
    CHECK(loop.run(threads.run([]() -> Result<int> { return 1; })) == 1);
    auto second = loop.start(threads.run(blocking.call()));
    REQUIRE(loop.until([&] { return blocking.begun() == 2; }));
    auto waiting = loop.start(threads.run([]() -> Result<int> { return 3; }));
    loop.settle();
    CHECK_FALSE(waiting.done());
    blocking.release();
    REQUIRE(loop.until([&] { return slow.done() && second.done() && waiting.done(); }));
    CHECK(slow.value() == 42);
    CHECK(waiting.value() == 3);
}

TEST_CASE("detached threads: whoever is cancelled goes on at once, and the call by itself")
{
    Loop loop;
    DetachedThreads threads(1);
    Blocking blocking;
    auto task = loop.start(threads.run(blocking.call()));
    REQUIRE(loop.until([&] { return blocking.begun() == 1; }));
    auto unbegun = loop.start(threads.run(blocking.call()));
    loop.settle();
    task.cancel();
    unbegun.cancel();
    REQUIRE(loop.until([&] { return task.done() && unbegun.done(); }));
    CHECK(task.value().error() == Errc::cancelled);
    CHECK(unbegun.value().error() == Errc::cancelled);
    blocking.release();
    REQUIRE(loop.until([&] { return blocking.ended() == 1; }));
    CHECK(loop.run(threads.run([]() -> Result<int> { return 1; })) == 1);
    CHECK(blocking.begun() == 1);
}

TEST_CASE("detached threads: executor and threads may go while a call blocks")
{
    Blocking blocking;
    {
        DetachedThreads threads(1);
        Loop loop;
        auto task = loop.start(threads.run(blocking.call()));
        REQUIRE(loop.until([&] { return blocking.begun() == 1; }));
    }
    CHECK(blocking.ended() == 0);
    blocking.release();
    Loop other;
    CHECK(other.until([&] { return blocking.ended() == 1; }));
}

TEST_CASE("host resolver: what is found, and what went wrong, with the host")
{
    Loop loop;
    HostResolver system;
    const auto found = loop.run(system.find("127.0.0.1", 80));
    REQUIRE(found);
    CHECK(found->at(0) == asio::ip::tcp::endpoint(asio::ip::make_address("127.0.0.1"), 80));
    const auto text_of = [&](HostResolver::LookUp look_up) {
        HostResolver resolver(std::move(look_up));
        const auto answer = loop.run(resolver.find("a.test", 80));
        REQUIRE_FALSE(answer);
        return answer.error().message();
    };
    CHECK(text_of([](const auto&, auto) { return HostResolver::Endpoints(); }) ==
          "looking up a.test: it has no address");
    CHECK(text_of([](const auto&, auto) -> Result<HostResolver::Endpoints> {
              return instancer::fail(instancer::system_error(ENOMEM));
          }) == "looking up a.test: Cannot allocate memory");
    CHECK(text_of([](const auto&, auto) -> Result<HostResolver::Endpoints> { throw std::runtime_error("broken"); }) ==
          "looking up a.test: broken");
}
