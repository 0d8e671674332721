// SPDX-License-Identifier: MIT
#include <optional>
#include <string>

#include <doctest/doctest.h>

#include <instancer/detail/container/fair_queue.hpp>

TEST_CASE("fair queue: keys take turns, and the values of one key keep their order")
{
    instancer::detail::FairQueue<char, std::string> queue;
    const auto rest = [&queue] {
        std::string all;
        while (const auto value = queue.pop())
            all += (all.empty() ? "" : " ") + *value;
        return all;
    };
    CHECK(rest().empty());
    for (const char* value : {"a1", "a2", "a3", "b1", "a4", "c1", "c2"})
        queue.push(value[0], value);
    SUBCASE("emptied at once") { CHECK(rest() == "a1 b1 c1 a2 c2 a3 a4"); }
    SUBCASE("a key that comes later waits for one value of each other")
    {
        CHECK(queue.pop() == "a1");
        queue.push('d', "d1");
        CHECK(rest() == "b1 c1 a2 d1 c2 a3 a4");
    }
    SUBCASE("a key that has come to its end comes back")
    {
        CHECK(queue.pop() == "a1");
        CHECK(queue.pop() == "b1");
        queue.push('b', "b2");
        CHECK(rest() == "c1 a2 b2 c2 a3 a4");
    }
    CHECK(rest().empty());
}
