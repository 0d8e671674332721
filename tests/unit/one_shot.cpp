// SPDX-License-Identifier: MIT
#include <memory>
#include <thread>

#include <doctest/doctest.h>

#include <instancer/async/one_shot.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::OneShot;

namespace {

using Value = std::unique_ptr<int>;

std::shared_ptr<OneShot<Value>> make(Loop& loop) { return std::make_shared<OneShot<Value>>(loop.executor()); }

}  // namespace

TEST_CASE("one shot: a value that is delivered is received, before and after it is waited for")
{
    Loop loop;
    const auto early = make(loop), late = make(loop);
    early->complete(std::make_unique<int>(1));
    loop.settle();
    CHECK(early->ready());
    CHECK(**loop.run(early->wait()) == 1);
    auto waiting = loop.start(late->wait());
    loop.settle();
    CHECK_FALSE(waiting.done());
    late->complete(std::make_unique<int>(2));
    loop.settle();
    CHECK(**waiting.value() == 2);
}

TEST_CASE("one shot: whoever gives up gets nothing, and what comes later goes with it")
{
    Loop loop;
    const auto shot = make(loop);
    auto waiting = loop.start(shot->wait());
    loop.settle();
    waiting.cancel();
    loop.settle();
    CHECK_FALSE(waiting.value());
    shot->complete(std::make_unique<int>(1));
    loop.settle();
    CHECK(shot->ready());

    auto before = loop.start_cancelled(make(loop)->wait());
    CHECK(before.done());
    CHECK_FALSE(before.value());
}

TEST_CASE("one shot: delivered from another thread")
{
    for (int i = 0; i < 200; ++i) {
        Loop loop;
        const auto shot = make(loop);
        auto waiting = loop.start(shot->wait());
        std::jthread other([&] { shot->complete(std::make_unique<int>(i)); });
        REQUIRE(loop.until([&] { return waiting.done(); }));
        REQUIRE(**waiting.value() == i);
    }
}
