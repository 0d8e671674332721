// SPDX-License-Identifier: MIT
// Random events for many steps, against a model that knows what must always hold.
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

/// A random choice by a fixed seed.
class Dice {
public:
    explicit Dice(unsigned seed) : engine_(seed) {}

    std::size_t below(std::size_t end) { return end == 0 ? 0 : engine_() % end; }
    bool one_in(std::size_t n) { return below(n) == 0; }

    template <class Container>
    auto any_of(Container& container)
    {
        return std::next(container.begin(), static_cast<std::ptrdiff_t>(below(container.size())));
    }

private:
    std::mt19937 engine_;
};

/// Answers what a PoolState asks for, when the dice say so, and checks every action against what may happen at all.
class World {
public:
    World(Dice& dice, const PoolOptions& options, InstanceBudget* budget, const PoolState::Time& now)
        : dice_(dice), options_(options), now_(now), state_(options, now, budget)
    {
    }

    void adopt()
    {
        const std::size_t who = dice_.below(owners * identifiers);
        if (const auto slot = state_.adopt(now_, identity_of(who), std::chrono::minutes(dice_.below(100)))) {
            Slot& made = add(*slot);
            made.identity = who;
            made.ready = true;
            ++allowed_;
        }
        settle();
    }

    void fill_warm()
    {
        event([&] { state_.fill_warm(now_); });
    }

    void random_event()
    {
        switch (dice_.below(13)) {
        case 0:
        case 1:
        case 2:
        case 3: acquire(dice_.below(owners * identifiers), dice_.one_in(12)); break;
        case 4:
            if (!waiting_.empty())
                abandon(dice_.any_of(waiting_)->first);
            break;
        case 5: random_death(); break;
        case 6: tick(); break;
        case 7: operate(); break;
        default: random_answer(); break;
        }
    }

    /// Other options from now on. Nothing ends for lower caps.
    void replace_options(const PoolOptions& options)
    {
        allowed_ = std::max(allowed_, state_.instances());
        allowed_starts_ = std::max(allowed_starts_, starting());
        options_ = options;
        event([&] { state_.replace_options(now_, options); });
    }

    void tick()
    {
        event([&] { state_.tick(now_); });
        const auto due = state_.next_deadline();
        REQUIRE((!due || *due > now_));
    }

    void drain()
    {
        event([&] { state_.drain(now_); });
    }

    /// Ends everything; afterwards nothing may be left.
    void close()
    {
        event([&] { state_.close(now_); });
        REQUIRE(waiting_.empty());
        while (!slots_.empty())
            random_answer();
        REQUIRE(state_.empty());
        REQUIRE(state_.queued() == 0);
        REQUIRE(state_.instances() == 0);
    }

    const PoolState& state() const { return state_; }
    std::size_t served() const { return served_; }

private:
    static constexpr std::size_t owners = 6, identifiers = 3, nobody = owners * identifiers;

    struct Waiting {
        std::size_t identity = nobody;
        std::set<std::uint64_t> must_go_first;  ///< What its reset stops.
    };

    struct Slot {
        SlotId id;
        std::size_t identity = nobody;
        std::size_t sessions = 0;
        bool ready = false;
        bool stopping = false;
    };

    static Identity identity_of(std::size_t who)
    {
        static const auto all = [] {
            std::vector<Identity> made;
            for (std::size_t i = 0; i < owners * identifiers; ++i)
                made.push_back(identity((i % 7 == 6 ? "?" : "") + std::to_string(i / identifiers) + "/" +
                                        std::to_string(i % identifiers)));
            return made;
        }();
        return all[who];
    }

    static std::size_t owner_of(std::size_t who) { return who / identifiers; }

    // Events.

    void acquire(std::size_t who, bool reset)
    {
        Waiting client{who, {}};
        if (reset)
            for (const auto& [key, slot] : slots_)
                if (slot.identity != nobody && owner_of(slot.identity) == owner_of(who))
                    client.must_go_first.insert(key);
        while (const auto slot = state_.wants_activity(now_, identity_of(who)))
            state_.active(now_, *slot, now_ - std::chrono::seconds(dice_.below(1000)));
        const bool refused = foresees_refusal(who, reset);
        const auto served = served_;
        const WaiterId waiter = state_.acquire(now_, identity_of(who), reset);
        waiting_.emplace(waiter, std::move(client));
        settle();
        if (refused)
            REQUIRE((waiting_.count(waiter) == 0 && served_ == served));
    }

    /// Now and then.
    bool foresees_refusal(std::size_t who, bool reset)
    {
        if (dice_.one_in(2))
            return false;
        tick();  // Room in the budget comes free unseen.
        return state_.would_start(identity_of(who), reset) && state_.foresee_refusal(identity_of(who), reset);
    }

    void abandon(WaiterId waiter)
    {
        waiting_.erase(waiter);
        event([&] { state_.abandon(now_, waiter); });
    }

    /// An operator stops or extends an instance.
    void operate()
    {
        settle();  // The other pool may have had one stopped.
        const SlotId id = slots_.empty() ? gone_ : dice_.any_of(slots_)->second.id;
        const bool stops = slots_.count(id.key()) != 0 && !slots_[id.key()].stopping;
        if (dice_.one_in(2))
            event([&] { REQUIRE(state_.extend(id, now_ + std::chrono::seconds(dice_.below(200))) == stops); });
        else if (dice_.one_in(2))
            event([&] { REQUIRE(state_.stop(now_, id) == stops); });
    }

    void random_death()
    {
        if (!slots_.empty() && dice_.one_in(3)) {
            const Slot slot = dice_.any_of(slots_)->second;
            event([&] { state_.died(now_, slot.id); });
        } else if (dice_.one_in(3)) {
            event([&] { state_.reset_owner(now_, identity_of(dice_.below(nobody)).owner()); });
        } else {
            // Somebody speaks of an instance that is long gone.
            event([&] { state_.stopped(now_, gone_); });
            event([&] { state_.ready(now_, gone_); });
        }
    }

    /// What was asked for is done: a start or a stop ends, a client leaves.
    void random_answer()
    {
        if (slots_.empty())
            return;
        const auto found = dice_.any_of(slots_);
        Slot& slot = found->second;
        const SlotId id = slot.id;
        if (slot.sessions != 0 && dice_.one_in(2)) {
            --slot.sessions;
            event([&] { state_.release(now_, id); });
        } else if (slot.stopping) {
            const bool failed = !slot.ready && dice_.one_in(2);
            forget(found);
            event([&] { failed ? state_.start_failed(now_, id) : state_.stopped(now_, id); });
        } else if (!slot.ready && dice_.one_in(6)) {
            forget(found);
            event([&] { state_.start_failed(now_, id); });
        } else if (!slot.ready) {
            slot.ready = true;
            event([&] { state_.ready(now_, id); });
        }
    }

    // Actions.

    template <class Event>
    void event(const Event& event)
    {
        event();
        settle();
    }

    std::size_t stopping() const
    {
        return static_cast<std::size_t>(
            std::count_if(slots_.begin(), slots_.end(), [](const auto& entry) { return entry.second.stopping; }));
    }

    std::size_t starting() const
    {
        return static_cast<std::size_t>(
            std::count_if(slots_.begin(), slots_.end(), [](const auto& entry) { return !entry.second.ready; }));
    }

    /// Instances that nobody uses.
    std::size_t unused() const
    {
        return static_cast<std::size_t>(std::count_if(slots_.begin(), slots_.end(), [](const auto& entry) {
            return entry.second.ready && !entry.second.stopping && entry.second.sessions == 0;
        }));
    }

    void settle()
    {
        while (const auto action = state_.next_action())
            check(*action);
        check_caps();
    }

    void check(const PoolAction& action)
    {
        switch (action.kind) {
        case PoolAction::Kind::start: {
            Slot& slot = add(action.slot);
            if (action.waiter != 0) {
                slot.identity = waiting_.at(action.waiter).identity;
                check_reset(slot.identity);
            }
            break;
        }
        case PoolAction::Kind::assign: {
            Slot& slot = known(action.slot);
            REQUIRE(slot.identity == nobody);
            REQUIRE_FALSE(slot.stopping);
            for (std::size_t who = 0; who < nobody; ++who)
                if (identity_of(who).id() == action.identity.id())
                    slot.identity = who;
            check_reset(slot.identity);
            break;
        }
        case PoolAction::Kind::grant: {
            Slot& slot = known(action.slot);
            const auto waiter = waiting_.find(action.waiter);
            REQUIRE(waiter != waiting_.end());
            REQUIRE(waiter->second.identity == slot.identity);
            REQUIRE(slot.ready);
            REQUIRE_FALSE(slot.stopping);
            ++slot.sessions;
            ++served_;
            if (options_.max_sessions_per_instance != 0)
                REQUIRE(slot.sessions <= options_.max_sessions_per_instance);
            waiting_.erase(waiter);
            break;
        }
        case PoolAction::Kind::refuse:
            REQUIRE(waiting_.erase(action.waiter) == 1);
            if (action.limit == std::string("the service has as many as it may have (max-instances)"))
                REQUIRE(action.unused == 0);
            break;
        case PoolAction::Kind::revoke: REQUIRE(known(action.slot).sessions != 0); break;
        case PoolAction::Kind::stop: {
            Slot& slot = known(action.slot);
            REQUIRE_FALSE(slot.stopping);
            if (action.end == instancer::InstanceEnd::culled && options_.max_per_owner == 0 && slot.sessions != 0)
                REQUIRE(unused() == 0);
            slot.stopping = true;
            break;
        }
        case PoolAction::Kind::warn: REQUIRE_FALSE(known(action.slot).stopping); break;
        case PoolAction::Kind::check_activity: {
            REQUIRE(known(action.slot).sessions != 0);
            state_.active(now_, action.slot, now_ - std::chrono::seconds(dice_.below(1000)));
            break;
        }
        }
    }

    /// An instance of `who` starts, or is given to it.
    void check_reset(std::size_t who) const
    {
        for (const auto& [waiter, client] : waiting_)
            if (client.identity == who)
                for (const std::uint64_t key : client.must_go_first)
                    REQUIRE(slots_.count(key) == 0);
    }

    void check_caps() const
    {
        std::map<std::size_t, std::size_t> per_owner;
        for (const auto& [key, slot] : slots_)
            if (slot.identity != nobody)
                ++per_owner[owner_of(slot.identity)];
        REQUIRE(slots_.size() <= state_.instances());
        if (options_.max_instances != 0)
            REQUIRE(state_.instances() <= std::max(options_.max_instances, allowed_));
        if (options_.max_starting != 0)
            REQUIRE(starting() <= std::max(options_.max_starting, allowed_starts_));
        if (options_.max_per_owner != 0)
            for (const auto& [owner, count] : per_owner)
                REQUIRE(count <= std::max(options_.max_per_owner, allowed_));
        REQUIRE(state_.queued() <= waiting_.size());
        // Nobody waits for room that an unused instance holds.
        if (options_.max_per_owner == 0 && options_.max_instances != 0 && state_.queued() != 0 &&
            state_.instances() >= options_.max_instances && stopping() == 0)
            REQUIRE(unused() == 0);
    }

    Slot& add(SlotId id)
    {
        REQUIRE(seen_.insert(id.key()).second);
        Slot& slot = slots_[id.key()];
        slot.id = id;
        return slot;
    }

    Slot& known(SlotId id)
    {
        REQUIRE(slots_.count(id.key()) == 1);
        return slots_[id.key()];
    }

    void forget(std::map<std::uint64_t, Slot>::iterator slot)
    {
        gone_ = slot->second.id;
        slots_.erase(slot);
    }

    Dice& dice_;
    PoolOptions options_;
    const PoolState::Time& now_;
    PoolState state_;
    std::map<WaiterId, Waiting> waiting_;
    std::map<std::uint64_t, Slot> slots_;
    std::set<std::uint64_t> seen_;
    SlotId gone_;
    std::size_t allowed_ = 0;  ///< Instances that may exist whatever the caps: adopted, or older than these.
    std::size_t allowed_starts_ = 0;
    std::size_t served_ = 0;
};

PoolOptions random_options(Dice& dice)
{
    PoolOptions options;
    options.max_instances = dice.below(10);
    options.max_per_owner = dice.below(4);
    options.max_sessions_per_instance = dice.below(3);
    options.max_starting = dice.below(4);
    options.when_full = static_cast<WhenFull>(dice.below(4));
    options.queue_size = dice.below(8);
    options.queue_timeout = std::chrono::seconds(dice.below(20));
    options.start_timeout = std::chrono::seconds(dice.below(20));
    options.ttl = std::chrono::seconds(dice.below(3) * 60);
    options.idle = std::chrono::seconds(dice.below(3) * 30);
    options.linger = std::chrono::seconds(dice.below(3) * 20);
    options.warm = dice.below(4);
    return options;
}

}  // namespace

TEST_CASE("pool state: whatever happens, caps hold, every client gets one answer and nothing is left")
{
    constexpr int steps = 3000;
    std::size_t served = 0;
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Dice dice(seed);
        PoolState::Time now = PoolState::Time() + 1000h;
        InstanceBudget budget(dice.one_in(2) ? 0 : 8);
        World one(dice, random_options(dice), &budget, now);
        World other(dice, random_options(dice), &budget, now);
        if (dice.one_in(4))
            for (int i = 0; i < 5; ++i)
                one.adopt();
        one.fill_warm();
        other.fill_warm();
        for (int step = 0; step < steps; ++step) {
            CAPTURE(step);
            World& world = dice.one_in(3) ? other : one;
            world.random_event();
            now += std::chrono::milliseconds(dice.one_in(4) ? dice.below(3000) : dice.below(3));
            REQUIRE(budget.used() == one.state().instances() + other.state().instances());
            if (dice.one_in(500))
                world.replace_options(random_options(dice));
            if (step == steps - 200 && dice.one_in(2))
                one.drain();
        }
        one.close();
        other.close();
        REQUIRE(budget.used() == 0);
        served += one.served() + other.served();
    }
    CHECK(served > 10'000);
}
