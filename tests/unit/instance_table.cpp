// SPDX-License-Identifier: MIT
// The parts of a pool that know its instances: the table, the warm stock, and the choice of who makes room.
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/pool/occupancy.hpp>
#include <instancer/pool/victims.hpp>
#include <instancer/pool/warm_stock.hpp>

using namespace std::chrono_literals;
using instancer::Identity;
using instancer::InstanceTable;
using instancer::Occupancy;
using instancer::SilenceOrder;
using instancer::SlotState;
using instancer::Victims;
using instancer::WarmStock;
using instancer::WhenFull;

namespace {

constexpr auto none = InstanceTable::none;

Identity of(const std::string& owner, const std::string& identifier = "") { return {"service", owner, identifier}; }

}  // namespace

TEST_CASE("instance table: finds entries by identity and by slot, and owners as long as they have any")
{
    InstanceTable table;
    const auto ann = table.add(of("ann", "1")), other = table.add(of("ann", "2")), bob = table.add(of("bob"));
    CHECK(table.find(of("ann", "2").id()) == other);
    CHECK(table[ann].owner == table[other].owner);
    CHECK(table.find_owner(of("bob").owner()) == table[bob].owner);
    const auto slot = table.slot_of(bob);
    table.hide(bob);
    CHECK(table.find(of("bob").id()) == none);
    CHECK(table.find(slot) == bob);
    table.remove(bob);
    CHECK(table.find(slot) == none);
    CHECK(table.find_owner(of("bob").owner()) == none);
    table.remove(ann);
    CHECK(table.find_owner(of("ann").owner()) == table[other].owner);
}

TEST_CASE("instance table: an owner has the account that it was given, and an unknown one has none")
{
    InstanceTable table;
    const auto ann = table[table.add(of("ann"))].owner, bob = table[table.add(of("bob"))].owner;
    instancer::OwnerAccount account(of("bob").owner(), 1);
    CHECK(table.account(bob) == nullptr);
    table.set_account(bob, &account);
    CHECK(table.account(bob) == &account);
    CHECK(table.account(ann) == nullptr);
    CHECK(table.account(none) == nullptr);
    table.set_account(bob, nullptr);
    CHECK(table.account(bob) == nullptr);
}

TEST_CASE("instance table: a place that is used again is another slot")
{
    InstanceTable table;
    const auto first = table.add();
    const auto slot = table.slot_of(first);
    table.remove(first);
    const auto second = table.add(of("ann"));
    REQUIRE(second == first);
    CHECK(table.find(slot) == none);
    CHECK_FALSE(table.slot_of(second) == slot);
    CHECK(table.size() == 1);
}

TEST_CASE("occupancy: an owner's demand is what it may still have; what is being stopped makes room for it")
{
    InstanceTable table;
    Occupancy occupancy(table, 2, 1);
    const auto running = table.add(of("ann", "1"));
    occupancy.take(running);
    table[running].state = SlotState::ready;
    CHECK(occupancy.owner_is_full(table[running].owner));
    CHECK_FALSE(occupancy.is_full());
    const auto next = table.add(of("ann", "2")), third = table.add(of("ann", "3"));
    occupancy.begin_waiting(next);
    occupancy.begin_waiting(third);
    CHECK(occupancy.demand() == 0);
    CHECK_FALSE(occupancy.comes_to_owner(table[next].owner));
    occupancy.stop(running);
    table[running].state = SlotState::stopping;
    CHECK(occupancy.demand() == 1);
    CHECK(occupancy.comes_to_all());
    CHECK_FALSE(occupancy.comes_to_owner(table[next].owner));
    occupancy.give_up(running);
    CHECK(occupancy.demand() == 1);
    CHECK_FALSE(occupancy.comes_to_all());
    occupancy.end_waiting(next);
    occupancy.end_waiting(third);
    CHECK(occupancy.demand() == 0);
    CHECK(occupancy.instances() == 0);
}

TEST_CASE("warm stock: those that are ready go first, then those that began first")
{
    InstanceTable table;
    WarmStock stock(table);
    CHECK(stock.first() == none);
    const auto one = table.add(), two = table.add();
    stock.add(one);
    stock.add(two);
    CHECK(stock.first() == one);
    CHECK(stock.spare() == none);
    stock.ready(two);
    CHECK(stock.first() == two);
    CHECK(stock.size() == 2);
    CHECK(stock.spares() == 1);
    stock.remove(two, true);
    stock.remove(one, false);
    CHECK(stock.size() == 0);
}

TEST_CASE("victims: an owner's own instances are weighed by the same measures as those of all")
{
    InstanceTable table;
    Occupancy occupancy(table, 0, 0);
    const SilenceOrder::Time begin{};
    Victims victims(table, true, begin);
    std::vector<std::uint32_t> all;
    for (const auto* owner : {"ann", "bob", "ann", "bob"}) {
        const auto index = table.add(of(owner, std::to_string(all.size())));
        occupancy.take(index);
        table[index].state = SlotState::ready;
        table[index].claimed = begin + all.size() * 1s;
        table[index].last_used = begin + 100s - all.size() * 1s;
        table[index].clients = 1;
        victims.add(index);
        victims.used(index, table[index].last_used);
        all.push_back(index);
    }
    const auto ann = table[all[0]].owner;
    CHECK(victims.oldest() == all[0]);
    CHECK(victims.oldest(table[all[1]].owner) == all[1]);
    CHECK(victims.longest_silent() == all[3]);
    CHECK(victims.longest_silent(ann) == all[2]);
    CHECK(victims.choose(WhenFull::cull_oldest) == all[0]);
    CHECK(victims.choose(WhenFull::cull_idle) == all[3]);
    CHECK(victims.choose(WhenFull::queue) == Victims::none);
    CHECK(victims.longest_unused() == none);
    table[all[0]].clients = 0;
    victims.unused(all[0]);
    CHECK(victims.longest_unused() == all[0]);
    CHECK(victims.longest_unused(table[all[1]].owner) == none);
    CHECK(victims.count_unused(ann) == 1);
    CHECK(victims.count_unused() == 1);
    victims.remove(all[3]);
    CHECK(victims.longest_silent() == all[2]);
}

TEST_CASE("silence order: the first is the one that was heard first, after any number of changes")
{
    std::mt19937 random(3);
    const SilenceOrder::Time begin{};
    SilenceOrder order(begin);
    std::vector<std::uint64_t> heard(50, 0);
    std::uint64_t now = 1;
    for (int step = 0; step < 20'000; ++step) {
        now += random() % 100;
        const auto index = static_cast<std::uint32_t>(random() % heard.size());
        heard[index] = random() % 5 == 0 ? 0 : now;
        if (heard[index] == 0)
            order.erase(index);
        else
            order.heard(index, begin + std::chrono::milliseconds(now));
        std::uint64_t first = 0;
        for (const auto time : heard)
            first = time != 0 && (first == 0 || time < first) ? time : first;
        const auto found = order.first();
        REQUIRE((found == SilenceOrder::none) == (first == 0));
        if (first != 0)
            REQUIRE(heard[found] == first);
    }
}

TEST_CASE("index stack: the newest comes first, and any can be taken out")
{
    std::vector<instancer::detail::ListLinks> records(4);
    const auto links_of = [&records](std::uint32_t index) -> instancer::detail::ListLinks& { return records[index]; };
    instancer::detail::IndexStack stack;
    const auto all = [&] {
        std::vector<std::uint32_t> found;
        for (auto at = stack.first(); at != none; at = records[at].next)
            found.push_back(at);
        return found;
    };
    for (std::uint32_t index = 0; index < 4; ++index)
        stack.push_front(index, links_of);
    stack.push_front(1, links_of);  // It is there already.
    CHECK(all() == std::vector<std::uint32_t>{3, 2, 1, 0});
    stack.erase(2, links_of);
    stack.erase(2, links_of);
    stack.erase(0, links_of);
    CHECK(all() == std::vector<std::uint32_t>{3, 1});
    stack.erase(3, links_of);
    stack.push_front(2, links_of);
    CHECK(all() == std::vector<std::uint32_t>{2, 1});
}
