// SPDX-License-Identifier: MIT
// What the pool's decisions cost with a thousand and with a million identities.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <malloc.h>

#include <instancer/pool/pool_state.hpp>

#include "load.hpp"
#include "works.hpp"

namespace bench {

namespace {

using instancer::Identity;
using instancer::PoolAction;
using instancer::PoolOptions;
using instancer::PoolState;
using instancer::SlotId;

/// Carries out at once whatever the state wants; remembers the last grant.
SlotId settle(PoolState& state, PoolState::Time now)
{
    SlotId granted;
    while (const auto action = state.next_action()) {
        if (action->kind == PoolAction::Kind::start)
            state.ready(now, action->slot);
        else if (action->kind == PoolAction::Kind::stop)
            state.stopped(now, action->slot);
        else if (action->kind == PoolAction::Kind::grant)
            granted = action->slot;
    }
    return granted;
}

struct Costs {
    double look_up = 0, touch = 0, expiry = 0, bytes = 0;  // ns, ns, ns, bytes; each per identity
};

Costs measure(std::size_t identities)
{
    std::vector<Identity> all;
    all.reserve(identities);
    for (std::size_t i = 0; i < identities; ++i)
        all.emplace_back("bench", "owner " + std::to_string(i), "id");
    std::vector<std::uint32_t> order(identities);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    const std::size_t probes = std::min<std::size_t>(identities, 200'000);
    const std::size_t repeats = 200'000 / probes;

    PoolOptions options;
    options.max_instances = 0;
    options.max_starting = 0;
    auto now = PoolState::Clock::now();
    const auto before = ::mallinfo2().uordblks + ::mallinfo2().hblkhd;
    PoolState state(options, now);
    for (const auto& identity : all) {
        state.acquire(now, identity);
        state.release(now, settle(state, now));
        now += std::chrono::microseconds(100);
    }
    Costs costs;
    costs.bytes =
        static_cast<double>(::mallinfo2().uordblks + ::mallinfo2().hblkhd - before) / static_cast<double>(identities);
    const auto per_probe = [&](Clock::duration spent) {
        return std::chrono::duration<double, std::nano>(spent).count() / static_cast<double>(probes * repeats);
    };

    // A look-up is a session on a running instance: its grant. A touch is what the end of that session costs.
    std::vector<SlotId> granted(probes);
    Clock::duration acquiring{0}, releasing{0};
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
        auto begin = Clock::now();
        for (std::size_t i = 0; i < probes; ++i) {
            state.acquire(now, all[order[i]]);
            granted[i] = settle(state, now);
        }
        acquiring += Clock::now() - begin;
        begin = Clock::now();
        for (std::size_t i = 0; i < probes; ++i) {
            state.release(now, granted[i]);
            settle(state, now);
        }
        releasing += Clock::now() - begin;
    }
    costs.look_up = per_probe(acquiring);
    costs.touch = per_probe(releasing);

    // Everything expires: due, stopped, forgotten.
    now += std::chrono::hours(1);
    const auto begin = Clock::now();
    state.tick(now);
    settle(state, now);
    costs.expiry =
        std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / static_cast<double>(identities);
    if (state.instances() != 0)
        std::fprintf(stderr, "the pool did not expire all of its instances\n");
    return costs;
}

}  // namespace

std::vector<Outcome> pool(int rounds)
{
    Table look_up("Pool: find a running instance and grant a session", "ns", false);
    Table touch("Pool: end of a session", "ns", false);
    Table expiry("Pool: expiry of an instance", "ns", false);
    Table bytes("Pool: memory of an idle identity", "bytes", false);
    for (int round = 0; round < rounds; ++round)
        for (const auto& [name, identities] :
             {std::pair("1,000 identities", 1'000), std::pair("1,000,000 identities", 1'000'000)}) {
            const auto costs = measure(static_cast<std::size_t>(identities));
            look_up.add(name, costs.look_up);
            touch.add(name, costs.touch);
            expiry.add(name, costs.expiry);
            bytes.add(name, costs.bytes);
        }
    const std::string baseline = "1,000 identities";
    return {{look_up, baseline}, {touch, baseline}, {expiry, baseline}, {bytes, baseline}};
}

}  // namespace bench
