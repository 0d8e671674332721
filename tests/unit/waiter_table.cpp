// SPDX-License-Identifier: MIT
#include <string>

#include <doctest/doctest.h>

#include <instancer/pool/waiter_table.hpp>

using instancer::Identity;
using instancer::InstanceTable;
using instancer::WaiterTable;

TEST_CASE("waiter table: a name finds its client until that has its answer, and never another one")
{
    InstanceTable table;
    WaiterTable waiters(table);
    const auto entry = table.add(Identity("service", "ann", ""));
    const auto first = waiters.add(), second = waiters.add();
    const auto ann = waiters.id(first), bob = waiters.id(second);
    CHECK(ann != 0);
    CHECK(ann != bob);
    waiters.wait(first, entry);
    waiters.wait(second, entry);
    CHECK(waiters.find(ann) == first);
    CHECK(waiters.entry(first) == entry);
    CHECK(waiters.next(first) == second);
    CHECK(waiters.remove(first) == ann);
    CHECK(waiters.find(ann) == WaiterTable::none);
    CHECK(table[entry].waiters.first() == second);

    const auto third = waiters.add();  // Answered at once, in the place of the first.
    REQUIRE(third == first);
    CHECK(waiters.id(third) != ann);
    CHECK(waiters.find(ann) == WaiterTable::none);
    CHECK(waiters.find(waiters.id(third)) == third);
    waiters.remove(third);
    CHECK_FALSE(waiters.empty());
    waiters.remove(second);
    CHECK(waiters.empty());
    CHECK(table[entry].waiters.size() == 0);
}

TEST_CASE("waiter table: a client that is answered at once gets a name of its own, and takes nobody's place")
{
    InstanceTable table;
    WaiterTable waiters(table);
    const auto ann = waiters.pass(), bob = waiters.pass();
    CHECK(ann != 0);
    CHECK(ann != bob);
    CHECK(waiters.empty());
    const auto waiting = waiters.add();
    const auto carl = waiters.id(waiting), dora = waiters.pass();
    CHECK((carl != ann && carl != bob && carl != dora));
    CHECK(waiters.find(carl) == waiting);
    for (const auto answered : {ann, bob, dora})
        CHECK(waiters.find(answered) == WaiterTable::none);
}
