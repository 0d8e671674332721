// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/pool/wait_queue.hpp>

using instancer::WaitQueue;
using namespace std::chrono_literals;

namespace {

constexpr auto never = WaitQueue::Time::max();

/// Serves everybody, one client a turn.
std::vector<std::uint32_t> serve_all(WaitQueue& queue, const std::map<std::uint32_t, std::uint32_t>& owner_of)
{
    std::vector<std::uint32_t> order;
    while (queue.next() != WaitQueue::none) {
        const std::uint32_t client = queue.next();
        order.push_back(client);
        queue.erase(client);
        queue.end_turn(owner_of.at(client));
    }
    return order;
}

}  // namespace

TEST_CASE("wait queue: owners take turns, and the clients of one keep their order")
{
    WaitQueue queue;
    const std::map<std::uint32_t, std::uint32_t> owner_of = {{0, 7}, {1, 7}, {2, 7}, {3, 2}, {4, 5}, {5, 2}};
    for (const auto& [client, owner] : owner_of)
        queue.push(client, owner, never);
    CHECK(queue.size() == 6);
    CHECK(queue.waiting_of(7) == 3);
    CHECK(serve_all(queue, owner_of) == std::vector<std::uint32_t>{0, 3, 4, 1, 5, 2});
    CHECK(queue.size() == 0);
    CHECK(queue.largest() == 0);
    CHECK(queue.last_of_largest() == WaitQueue::none);
}

TEST_CASE("wait queue: who cannot be helped is passed over and keeps its place")
{
    WaitQueue queue;
    queue.push(0, 1, never);
    queue.push(1, 2, never);
    queue.hold(1);
    queue.push(2, 1, never);
    CHECK(queue.next() == 1);
    queue.resume(2);  // Nobody held it.
    queue.resume(9);
    CHECK(queue.next() == 1);
    queue.resume(1);
    CHECK(queue.next() == 0);
    queue.hold(1);
    queue.erase(0);
    queue.erase(2);
    queue.push(3, 1, never);  // What held its owner is forgotten.
    queue.erase(1);
    CHECK(queue.next() == 3);
}

TEST_CASE("wait queue: the last client of whoever has most")
{
    WaitQueue queue;
    queue.push(0, 1, never);
    queue.push(1, 2, never);
    queue.push(2, 2, never);
    queue.push(3, 1, never);
    queue.push(4, 1, never);
    CHECK(queue.largest() == 3);
    CHECK(queue.last_of_largest() == 4);
    queue.erase(3);
    queue.erase(4);
    CHECK(queue.largest() == 2);
    CHECK(queue.last_of_largest() == 2);
}

TEST_CASE("wait queue: the deadline of a client that leaves leaves with it")
{
    WaitQueue queue;
    const WaitQueue::Time begin{};
    CHECK_FALSE(queue.next_deadline());
    queue.push(0, 1, begin + 1s);
    queue.push(1, 1, begin + 2s);
    CHECK(queue.next_deadline() == begin + 1s);
    CHECK(queue.first_due() == 0);
    queue.erase(0);
    CHECK(queue.next_deadline() == begin + 2s);
    queue.erase(1);
    CHECK_FALSE(queue.next_deadline());
    queue.push(0, 1, never);
    CHECK_FALSE(queue.next_deadline());
}

TEST_CASE("wait queue: counts and choices are those of a plain list, whatever happens")
{
    std::mt19937 random(1);
    WaitQueue queue;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> model;  // Client and owner, in order of arrival.
    for (int step = 0; step < 20'000; ++step) {
        const auto client = static_cast<std::uint32_t>(random() % 60);
        const auto owner = static_cast<std::uint32_t>(random() % 7);
        const auto found = std::find_if(model.begin(), model.end(), [&](auto& one) { return one.first == client; });
        if (found == model.end()) {
            queue.push(client, owner, never);
            model.emplace_back(client, owner);
        } else {
            queue.erase(client);
            model.erase(found);
        }
        if (random() % 4 == 0 && queue.waiting_of(owner) != 0)
            queue.hold(owner);
        if (random() % 3 == 0)
            queue.resume(owner);
        std::map<std::uint32_t, std::size_t> counts;
        for (const auto& one : model)
            ++counts[one.second];
        std::size_t largest = 0;
        for (const auto& [who, count] : counts) {
            REQUIRE(queue.waiting_of(who) == count);
            largest = std::max(largest, count);
        }
        REQUIRE(queue.size() == model.size());
        REQUIRE(queue.largest() == largest);
        if (largest == 0)
            continue;
        const auto last = queue.last_of_largest();
        const auto at = std::find_if(model.begin(), model.end(), [&](auto& one) { return one.first == last; });
        REQUIRE(at != model.end());
        REQUIRE(counts[at->second] == largest);
        REQUIRE(std::none_of(at + 1, model.end(), [&](auto& one) { return one.second == at->second; }));
    }
}

TEST_CASE("wait queue: it tells the order of the turns without ending any")
{
    WaitQueue queue;
    const std::map<std::uint32_t, std::uint32_t> owner_of = {{0, 7}, {1, 7}, {2, 7}, {3, 2}, {4, 5}, {5, 2}};
    for (const auto& [client, owner] : owner_of)
        queue.push(client, owner, never);
    CHECK(queue.order() == std::vector<std::uint32_t>{0, 3, 4, 1, 5, 2});
    queue.hold(7);
    CHECK(queue.order() == std::vector<std::uint32_t>{3, 4, 5, 0, 1, 2});
    queue.erase(4);
    CHECK(queue.order() == std::vector<std::uint32_t>{3, 5, 0, 1, 2});
    CHECK(WaitQueue().order().empty());
}
