// SPDX-License-Identifier: MIT
// A PoolState under a clock that the test moves. Every event answers with the actions that followed, as text:
// clients are c1, c2, ... in the order in which they came, instances i1, i2, ... in the order in which they started.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/pool/pool_state.hpp>

namespace pool_script {

using namespace std::chrono_literals;
using instancer::Errc;
using instancer::Identity;
using instancer::InstanceBudget;
using instancer::PoolAction;
using instancer::PoolOptions;
using instancer::PoolState;
using instancer::SlotId;
using instancer::WaiterId;
using instancer::WhenFull;

/// Options without any limit or timer.
inline PoolOptions unlimited()
{
    PoolOptions options;
    options.max_instances = 0;
    options.max_starting = 0;
    options.queue_timeout = 0s;
    options.start_timeout = 0s;
    options.idle = 0s;
    options.linger = 1h;
    return options;
}

/// `ann/2` is the identity of owner `ann` with identifier `2`; a leading `?` makes it one that cannot come back.
inline Identity identity(std::string_view name)
{
    const bool returning = !name.starts_with('?');
    if (!returning)
        name.remove_prefix(1);
    const auto slash = name.find('/');
    return Identity("service", name.substr(0, slash), slash == name.npos ? "" : name.substr(slash + 1), returning);
}

class PoolScript {
public:
    explicit PoolScript(const PoolOptions& options = unlimited(), InstanceBudget* budget = nullptr)
        : state(options, now, budget)
    {
    }

    std::string acquire(std::string_view who, bool reset = false)
    {
        const auto owner = Identity({}, who.substr(0, who.find('/')), {}).owner();
        clients_.push_back(
            state.acquire(now, identity(who), reset, names_owners ? std::optional(owner) : std::nullopt));
        return actions();
    }
    /// The limit that `who`, who has no instance, would meet at once; empty for one that may get an instance or wait.
    std::string foreseen_limit(std::string_view who, bool reset = false)
    {
        const auto owner = Identity({}, who.substr(0, who.find('/')), {}).owner();
        const auto refusal =
            state.foresee_refusal(identity(who), reset, names_owners ? std::optional(owner) : std::nullopt);
        return refusal ? refusal->limit : "";
    }
    std::string abandon(int client)
    {
        const auto number = static_cast<std::size_t>(client);
        return after([&] { state.abandon(now, number <= clients_.size() ? clients_[number - 1] : number); });
    }
    std::string ready(int instance)
    {
        return after([&] { state.ready(now, slot(instance)); });
    }
    std::string release(int instance)
    {
        return after([&] { state.release(now, slot(instance)); });
    }
    std::string start_failed(int instance, Errc error = Errc::start_failed)
    {
        return after([&] { state.start_failed(now, slot(instance), error); });
    }
    std::string died(int instance)
    {
        return after([&] { state.died(now, slot(instance)); });
    }
    std::string stopped(int instance)
    {
        return after([&] { state.stopped(now, slot(instance)); });
    }
    std::string active(int instance, PoolState::Duration ago)
    {
        return after([&] { state.active(now, slot(instance), now - ago); });
    }
    std::string reset_owner(std::string_view who)
    {
        return after([&] { state.reset_owner(now, identity(who).owner()); });
    }
    std::string remove_owner(std::string_view who)
    {
        return after([&] { state.remove_owner(now, identity(who).owner()); });
    }
    std::string stop(int instance)
    {
        return after([&] { state.stop(now, slot(instance)); });
    }
    std::string extend(int instance, PoolState::Duration time)
    {
        return after([&] { state.extend(slot(instance), now + time); });
    }
    std::string replace_options(const PoolOptions& options)
    {
        return after([&] { state.replace_options(now, options); });
    }
    std::string drain()
    {
        return after([&] { state.drain(now); });
    }
    std::string close()
    {
        return after([&] { state.close(now); });
    }
    std::string fill_warm()
    {
        return after([&] { state.fill_warm(now); });
    }
    std::string tick()
    {
        return after([&] { state.tick(now); });
    }

    /// The instance whose last byte the pool wants to know of before `who` asks for one.
    std::string wants_activity(std::string_view who)
    {
        const auto slot = state.wants_activity(now, identity(who));
        return slot ? name(*slot) : "none";
    }

    /// Whether it was taken in; then it is the next instance.
    bool adopt(std::string_view who, PoolState::Duration age)
    {
        const auto taken = state.adopt(now, identity(who), age);
        if (taken)
            slots_.push_back(*taken);
        return taken.has_value();
    }

    /// Lets time pass and calls `tick` exactly when the state asks for it.
    std::string pass(PoolState::Duration time)
    {
        const auto end = now + time;
        std::string all;
        for (auto due = state.next_deadline(); due && *due <= end; due = state.next_deadline()) {
            now = std::max(now, *due);
            ++ticks;
            const auto text = tick();
            all += (all.empty() || text.empty() ? "" : ", ") + text;
        }
        now = end;
        return all;
    }

    /// A client whose instance is ready at once: its number is the next.
    int served(std::string_view who)
    {
        acquire(who);
        const int instance = static_cast<int>(slots_.size());
        ready(instance);
        return instance;
    }

    SlotId slot(int instance) const { return slots_.at(static_cast<std::size_t>(instance - 1)); }

    PoolState::Time now = PoolState::Time() + 1000h;
    PoolState state;
    bool names_owners = false;  ///< To the other pools of the budget.
    std::string limit;          ///< Why the last refusal was,
    std::size_t instances = 0;  ///< how many instances counted then,
    std::size_t unused = 0;     ///< and how many of them were unused.
    std::size_t ticks = 0;

private:
    template <class Event>
    std::string after(const Event& event)
    {
        event();
        return actions();
    }

    std::string name(SlotId slot) const
    {
        for (std::size_t i = 0; i < slots_.size(); ++i)
            if (slots_[i] == slot)
                return "i" + std::to_string(i + 1);
        return "unknown";
    }

    std::string name(WaiterId client) const
    {
        const auto found = std::find(clients_.begin(), clients_.end(), client);
        return found == clients_.end() ? "unknown" : "c" + std::to_string(found - clients_.begin() + 1);
    }

    std::string actions()
    {
        std::string all;
        while (const auto action = state.next_action())
            all += (all.empty() ? "" : ", ") + text(*action);
        return all;
    }

    std::string text(const PoolAction& action)
    {
        const auto client = name(action.waiter);
        const auto end = " " + std::string(to_string(action.end));
        switch (action.kind) {
        case PoolAction::Kind::start:
            slots_.push_back(action.slot);
            return "start " + name(action.slot) + (action.waiter == 0 ? " warm" : " for " + client);
        case PoolAction::Kind::assign: return "assign " + name(action.slot);
        case PoolAction::Kind::grant: return "grant " + client + " " + name(action.slot);
        case PoolAction::Kind::refuse:
            limit = action.limit;
            instances = action.instances;
            unused = action.unused;
            return "refuse " + client + " " + error_name(action.error);
        case PoolAction::Kind::revoke: return "revoke " + name(action.slot) + end;
        case PoolAction::Kind::stop: return "stop " + name(action.slot) + end;
        case PoolAction::Kind::warn:
            return "warn " + name(action.slot) + " " +
                   std::to_string(std::chrono::duration_cast<std::chrono::seconds>(action.coming.time - now).count()) +
                   (action.coming.by_silence ? "s idle" : "s");
        case PoolAction::Kind::check_activity: return "check " + name(action.slot);
        }
        return "?";
    }

    static std::string error_name(Errc error)
    {
        static const std::map<Errc, std::string> names = {
            {Errc::full, "full"},
            {Errc::owner_full, "owner full"},
            {Errc::culled, "culled"},
            {Errc::queue_timeout, "queue timeout"},
            {Errc::start_failed, "start failed"},
            {Errc::start_timeout, "start timeout"},
            {Errc::backend_unavailable, "unavailable"},
            {Errc::reset, "reset"},
            {Errc::stopping, "stopping"},
        };
        return names.at(error);
    }

    std::vector<SlotId> slots_;
    std::vector<WaiterId> clients_;
};

}  // namespace pool_script
