// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/pool/timer_wheel.hpp>

namespace {

using instancer::detail::TimerNode;
using instancer::detail::TimerWheel;

class NodeOf {
public:
    explicit NodeOf(std::vector<TimerNode>& nodes) : nodes_(&nodes) {}
    TimerNode& operator()(std::uint32_t index) const { return (*nodes_)[index]; }

private:
    std::vector<TimerNode>* nodes_;
};

/// A wheel beside a multimap that must agree with it.
class Timers {
public:
    explicit Timers(std::uint32_t count) : nodes_(count), wheel_(NodeOf(nodes_)), due_(count) {}

    void arm(std::uint32_t index, std::uint64_t due)
    {
        forget(index);
        wheel_.arm(index, due);
        model_.emplace(due, index);
        due_[index] = due;
    }

    void disarm(std::uint32_t index)
    {
        wheel_.disarm(index);
        forget(index);
    }

    /// Everything due must fire, nothing else, and in order of time, as far as it was armed in time.
    void advance(std::uint64_t now)
    {
        std::uint64_t last = 0;
        while (const auto index = wheel_.advance(now)) {
            REQUIRE_FALSE(nodes_[*index].armed());
            REQUIRE(contains(*index));
            const auto due = std::max(due_[*index], now_);
            REQUIRE(due <= now);
            REQUIRE(due >= last);
            last = due;
            forget(*index);
        }
        now_ = now;
        REQUIRE((model_.empty() || model_.begin()->first > now));
        check_next_due();
    }

    void check_next_due() const
    {
        const auto next = wheel_.next_due();
        REQUIRE(next.has_value() == !model_.empty());
        if (next)
            REQUIRE(*next <= std::max(model_.begin()->first, now_));
    }

    std::uint64_t now() const { return now_; }
    std::optional<std::uint64_t> next_due() const { return wheel_.next_due(); }
    std::size_t armed() const { return model_.size(); }

private:
    bool contains(std::uint32_t index) const
    {
        const auto [begin, end] = model_.equal_range(due_[index]);
        return std::any_of(begin, end, [index](const auto& timer) { return timer.second == index; });
    }

    void forget(std::uint32_t index)
    {
        const auto [begin, end] = model_.equal_range(due_[index]);
        const auto found = std::find_if(begin, end, [index](const auto& timer) { return timer.second == index; });
        if (found != end)
            model_.erase(found);
    }

    std::vector<TimerNode> nodes_;
    TimerWheel<NodeOf> wheel_;
    std::vector<std::uint64_t> due_;
    std::multimap<std::uint64_t, std::uint32_t> model_;
    std::uint64_t now_ = 0;
};

}  // namespace

TEST_CASE("timer wheel: fires what a sorted map says is due, near and far")
{
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        constexpr std::uint32_t count = 200;
        Timers timers(count);
        // Distances of every size, up to `bits` bits.
        const auto distance = [&](unsigned bits) { return random() >> (64 - 1 - random() % bits); };
        for (int step = 0; step < 4000; ++step) {
            const auto index = static_cast<std::uint32_t>(random() % count);
            switch (random() % 8) {
            case 0: timers.disarm(index); break;
            case 1: timers.advance(timers.now() + distance(12)); break;
            case 2: timers.advance(timers.now() + distance(step % 64 == 0 ? 32 : 4)); break;
            case 3: timers.arm(index, random() % (timers.now() + 1)); break;  // Past already.
            default: timers.arm(index, timers.now() + distance(36)); break;
            }
            timers.check_next_due();
        }
    }
}

TEST_CASE("timer wheel: whoever follows next_due misses nothing and wakes rarely")
{
    std::mt19937_64 random(7);
    Timers timers(1000);
    for (std::uint32_t i = 0; i < 1000; ++i)
        timers.arm(i, random() % 10'000'000);
    std::size_t wakes = 0;
    while (const auto next = timers.next_due()) {
        timers.advance(std::max(*next, timers.now()));
        ++wakes;
    }
    CHECK(timers.armed() == 0);
    CHECK(wakes < 1000 * 5);
}

TEST_CASE("timer wheel: a timer further away than the wheel reaches neither fires early nor holds others up")
{
    Timers timers(3);
    timers.arm(0, std::uint64_t{1} << 50);
    timers.arm(1, ~std::uint64_t{0});
    timers.arm(2, 1000);
    timers.advance(999);
    CHECK(timers.armed() == 3);
    timers.advance(1000);
    CHECK(timers.armed() == 2);
    timers.advance(std::uint64_t{1} << 41);
    CHECK(timers.armed() == 2);
    timers.disarm(0);
    timers.disarm(1);
    CHECK_FALSE(timers.next_due());
}

TEST_CASE("timer wheel: around the borders of its levels")
{
    for (unsigned bits = 6; bits <= 36; bits += 6)
        for (const std::uint64_t offset : {0u, 1u, 2u, 63u, 64u, 65u}) {
            const std::uint64_t border = std::uint64_t{1} << bits;
            Timers timers(4);
            timers.advance(border - 2 - offset % 2);
            timers.arm(0, border - 1);
            timers.arm(1, border);
            timers.arm(2, border + offset);
            timers.arm(3, 2 * border + offset);
            timers.advance(border - 1);
            timers.advance(border);
            timers.advance(border + offset);
            CHECK(timers.armed() == 1);
            timers.advance(2 * border + offset - 1);
            CHECK(timers.armed() == 1);
            timers.advance(2 * border + offset);
            CHECK(timers.armed() == 0);
        }
}
