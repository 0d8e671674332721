// SPDX-License-Identifier: MIT
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <instancer/detail/container/numbered_list.hpp>

using instancer::detail::NumberedList;

namespace {

std::multiset<std::string> values(NumberedList<std::string>& list)
{
    std::multiset<std::string> all;
    for (const auto& value : list)
        if (!value.empty())
            all.insert(value);
    return all;
}

}  // namespace

TEST_CASE("numbered list: each value has a number of its own, which is used again after it")
{
    NumberedList<std::string> list;
    const auto a = list.add("a"), b = list.add("b"), c = list.add("c");
    CHECK(std::set{a, b, c}.size() == 3);
    CHECK(list.size() == 3);
    list.erase(b);
    CHECK(list.size() == 2);
    CHECK(values(list) == std::multiset<std::string>{"a", "c"});
    CHECK(list.add("d") == b);
    CHECK(list.size() == 3);
    CHECK(values(list) == std::multiset<std::string>{"a", "c", "d"});
}

TEST_CASE("numbered list: as many come and go as like, in any order, and the numbers stay small")
{
    NumberedList<std::string> list;
    for (int round = 0; round < 3; ++round) {
        std::set<std::uint32_t> numbers;
        for (int i = 0; i < 1000; ++i)
            numbers.insert(list.add(std::to_string(i)));
        CHECK(numbers.size() == 1000);
        CHECK(*numbers.rbegin() == 999);
        for (const auto number : numbers)
            list.erase(number);
        CHECK(list.size() == 0);
        CHECK(values(list).empty());
    }
}
