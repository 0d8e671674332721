// SPDX-License-Identifier: MIT
// What the decisions of the pool cost with few and with many identities and clients that wait.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <malloc.h>

#include <instancer/pool/pool_state.hpp>
#include <instancer/secret_set.hpp>

#include "load.hpp"
#include "works.hpp"

namespace bench {

namespace {

using instancer::Identity;
using instancer::PoolAction;
using instancer::PoolOptions;
using instancer::PoolState;
using instancer::SlotId;
using instancer::WaiterId;
using instancer::WhenFull;

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

/// A pool whose instances are all taken, and clients that wait for room in it.
class Crowd {
public:
    Crowd(WhenFull when_full, std::size_t identities, std::size_t waiting)
        : state_(options(when_full, identities, waiting), now_)
    {
        for (std::size_t i = 0; i < identities; ++i) {
            acquire(identity("owner", i));
            running_.push_back(settle(state_, now_));
            now_ += std::chrono::microseconds(100);
        }
        std::shuffle(running_.begin(), running_.end(), std::mt19937(1));
        // Half of those who wait belong to one owner.
        for (std::size_t i = 0; i < waiting; ++i)
            waiting_.push_back(acquire(i % 2 == 0 ? identity("waiting", i) : greedy(i)));
        std::shuffle(waiting_.begin(), waiting_.end(), std::mt19937(1));
    }

    /// The median of what one `operation` costs in nanoseconds. `after` puts things in order, and is not measured.
    template <class Operation, class After>
    double cost(const Operation& operation, const After& after)
    {
        std::vector<double> samples;
        for (std::size_t i = 0; i < 2000; ++i) {
            const Identity newcomer = identity("newcomer", ++newcomers_);
            now_ += std::chrono::microseconds(100);
            const auto begin = Clock::now();
            const WaiterId waiter = operation(newcomer);
            samples.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
            after(waiter);
        }
        return median(std::move(samples));
    }

    /// Somebody asks, and what follows from that is done.
    double cost_of_asking()
    {
        return cost([this](const Identity& who) { return ask(who); }, [](WaiterId) {});
    }

    /// Somebody asks, and leaves again.
    double cost_of_joining()
    {
        return cost([this](const Identity& who) { return ask(who); }, [this](WaiterId waiter) { leave(waiter); });
    }

    /// One of those who wait leaves, and another one comes.
    double cost_of_leaving()
    {
        return cost(
            [this](const Identity&) {
                const WaiterId waiter = waiting_.front();
                waiting_.pop_front();
                leave(waiter);
                return waiter;
            },
            [this](WaiterId) { waiting_.push_back(ask(identity("waiting again", ++newcomers_))); });
    }

    /// Somebody takes the place of the last client of whoever has most; then that one has as many as before.
    double cost_of_displacing()
    {
        return cost([this](const Identity& who) { return ask(who); },
                    [this](WaiterId waiter) {
                        leave(waiter);
                        ask(greedy(++newcomers_));
                    });
    }

    /// An instance ends, and whose turn it is gets another one.
    double cost_of_admitting()
    {
        return cost(
            [this](const Identity&) {
                state_.died(now_, running_.front());
                running_.pop_front();
                running_.push_back(settle(state_, now_));
                return WaiterId{0};
            },
            [this](WaiterId) { ask(identity("waiting again", ++newcomers_)); });
    }

    /// One of those who wait leaves.
    void make_place()
    {
        leave(waiting_.front());
        waiting_.pop_front();
    }

    /// All clients of all instances leave.
    void release_all()
    {
        for (const SlotId slot : running_)
            state_.release(now_, slot);
        settle(state_, now_);
    }

private:
    static PoolOptions options(WhenFull when_full, std::size_t identities, std::size_t waiting)
    {
        PoolOptions made;
        made.max_instances = identities;
        made.max_starting = 0;
        made.when_full = when_full;
        made.queue_size = waiting == 0 ? 128 : waiting;
        made.queue_timeout = std::chrono::hours(1);
        return made;
    }

    static Identity identity(const std::string& owner, std::size_t number)
    {
        return Identity("bench", owner + std::to_string(number), "id");
    }
    static Identity greedy(std::size_t number) { return Identity("bench", "greedy", std::to_string(number)); }

    WaiterId acquire(const Identity& who)
    {
        while (const auto slot = state_.wants_activity(now_, who))
            state_.active(now_, *slot, now_ - std::chrono::seconds(1));
        return state_.acquire(now_, who);
    }

    WaiterId ask(const Identity& who)
    {
        const WaiterId waiter = acquire(who);
        settle(state_, now_);
        return waiter;
    }

    void leave(WaiterId waiter)
    {
        state_.abandon(now_, waiter);
        settle(state_, now_);
    }

    PoolState::Time now_ = PoolState::Clock::now();
    PoolState state_;
    std::deque<SlotId> running_;
    std::deque<WaiterId> waiting_;
    std::size_t newcomers_ = 0;
};

/// What looking for a token costs that is not among so many.
double cost_of_guess(std::size_t tokens)
{
    std::vector<std::string> all(tokens);
    for (std::size_t i = 0; i < tokens; ++i)
        all[i] = std::to_string(i) + std::string(120, 'x');
    const instancer::SecretSet set(all);
    std::vector<double> samples;
    for (std::size_t i = 0; i < 2000; ++i) {
        const auto guess = std::to_string(i) + std::string(120, 'y');
        const auto begin = Clock::now();
        if (set.contains(guess))
            std::fprintf(stderr, "a token that is not there was found\n");
        samples.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
    }
    return median(std::move(samples));
}

/// Operations on a full pool, with few and with many.
std::vector<Outcome> full_pool(int rounds)
{
    const std::string few = "100 waiting, 100 identities", many = "100,000 waiting, 1,000,000 identities";
    Table join("Pool: begin to wait", "ns", false), leave("Pool: wait no more", "ns", false);
    Table displace("Pool: take another one's place in a full queue", "ns", false);
    Table admit("Pool: end of an instance, and the next client's start", "ns", false);
    Table refuse("Pool: be refused", "ns", false), evict("Pool: replace an unused instance", "ns", false);
    Table oldest("Pool: replace the oldest instance", "ns", false),
        idle("Pool: replace the idlest instance", "ns", false);
    Table guess("Tokens: guess one, with as many tokens as identities / 10", "ns", false);
    for (int round = 0; round < rounds; ++round)
        for (const auto& [name, waiting, identities] :
             {std::tuple(few, 100u, 100u), std::tuple(many, 100'000u, 1'000'000u)}) {
            {
                Crowd crowd(WhenFull::queue, identities, waiting);
                leave.add(name, crowd.cost_of_leaving());
                displace.add(name, crowd.cost_of_displacing());
                admit.add(name, crowd.cost_of_admitting());
            }
            {
                Crowd crowd(WhenFull::queue, identities, waiting + 1);
                crowd.make_place();
                join.add(name, crowd.cost_of_joining());
            }
            refuse.add(name, Crowd(WhenFull::refuse, identities, 0).cost_of_asking());
            oldest.add(name, Crowd(WhenFull::cull_oldest, identities, 0).cost_of_asking());
            idle.add(name, Crowd(WhenFull::cull_idle, identities, 0).cost_of_asking());
            Crowd unused(WhenFull::refuse, identities, 0);
            unused.release_all();
            evict.add(name, unused.cost_of_asking());
            guess.add(name, cost_of_guess(identities / 10));
        }
    return {{join, few},  {leave, few},  {displace, few}, {admit, few}, {refuse, few},
            {evict, few}, {oldest, few}, {idle, few},     {guess, few}};
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
    std::vector<Outcome> all = {{look_up, baseline}, {touch, baseline}, {expiry, baseline}, {bytes, baseline}};
    for (auto& outcome : full_pool(rounds))
        all.push_back(std::move(outcome));
    return all;
}

}  // namespace bench
