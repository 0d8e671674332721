// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <instancer/coming_end.hpp>
#include <instancer/pool/extension.hpp>
#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/pool_options.hpp>

namespace instancer {

/// When an instance ends by time: each keeps the limits that held when it got its owner.
///
/// Time: every function takes constant time, if not said otherwise.
/// Threads: one at a time.
class TimeLimits {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;
    /// A span of time.
    using Duration = Time::duration;

    /// The limits of `options`, for instances that get an owner from now on.
    explicit TimeLimits(const PoolOptions& options) : sets_{set_of(options)} {}

    /// Other limits from now on. Limits that no instance of `table` has are forgotten.
    ///
    /// Time: by the number of instances.
    void set(const PoolOptions& options, const InstanceTable& table)
    {
        const Set wanted = set_of(options);
        auto place = std::find(sets_.begin(), sets_.end(), wanted);
        if (place == sets_.end())
            place = find_unused(table);
        if (place == sets_.end())
            place = sets_.insert(place, wanted);
        *place = wanted;
        current_ = static_cast<std::uint32_t>(place - sets_.begin());
    }

    /// Different limits that are kept.
    std::size_t count() const noexcept { return sets_.size(); }

    /// The instance gets an owner.
    void apply(InstanceEntry& entry) const noexcept { entry.limits = current_; }

    /// Whether no time limit ends the instance yet.
    static bool is_kept(const InstanceEntry& entry, Time now) noexcept { return now < entry.kept_until; }

    /// Whether it has lived long enough.
    bool is_expired(const InstanceEntry& entry, Time now) const { return has_ttl(entry) && now >= end_of(entry); }

    /// Extends the time to live of an instance that has an owner, as far as `options` allow. An extension counts in
    /// whole seconds.
    Extension extend(InstanceEntry& entry, const PoolOptions& options, Time now) const
    {
        using std::chrono::seconds;
        if (!has_ttl(entry) || options.extension == Duration::zero())
            return Extension(Extension::Answer::not_offered);
        auto added = std::chrono::ceil<seconds>(options.extension);
        if (options.max_extension != Duration::zero())
            added = std::min(added, std::chrono::floor<seconds>(options.max_extension) - seconds(entry.extended));
        if (added <= seconds::zero())
            return Extension(Extension::Answer::used_up, end_of(entry));
        const auto opens = end_of(entry) - options.extension_window;
        if (options.extension_window != Duration::zero() && now < opens)
            return Extension(Extension::Answer::too_early, opens);
        entry.extended += static_cast<std::uint32_t>(added.count());
        Extension granted(Extension::Answer::granted, end_of(entry));
        granted.total = seconds(entry.extended);
        return granted;
    }

    /// Whether no byte, by what is known, has passed for too long.
    bool is_idle(const InstanceEntry& entry, Time now) const
    {
        return of(entry).idle != Duration::zero() && now - entry.last_used >= of(entry).idle;
    }

    /// Whether it outlives its last client.
    bool lingers(const InstanceEntry& entry) const { return of(entry).linger != Duration::zero(); }

    /// Whether nobody has come back for too long.
    bool has_lingered(const InstanceEntry& entry, Time now) const
    {
        return entry.clients == 0 && now - entry.last_used >= of(entry).linger;
    }

    /// When the nearest limit of a ready instance is reached; the end of time when it has none.
    Time due(const InstanceEntry& entry) const
    {
        Time due = Time::max();
        if (has_ttl(entry))
            due = std::min(due, end_of(entry));
        if (of(entry).idle != Duration::zero())
            due = std::min(due, entry.last_used + of(entry).idle);
        if (entry.clients == 0)
            due = std::min(due, entry.last_used + of(entry).linger);
        return std::max(due, entry.kept_until);
    }

    /// Whether the instance ends when no byte passes.
    bool ends_idle(const InstanceEntry& entry) const { return of(entry).idle != Duration::zero(); }

    /// The end of an instance in use that comes next, by what is known. A limit of silence that is no longer than the
    /// warning comes early is left out: after each byte the warning would come at once.
    ComingEnd coming_end(const InstanceEntry& entry) const
    {
        const Set& limits = of(entry);
        ComingEnd end(has_ttl(entry) ? end_of(entry) : Time::max());
        const Time silent = entry.last_used + limits.idle;
        if (limits.idle > limits.warn_before && silent < end.time)
            end = ComingEnd(silent, true);
        end.time = std::max(end.time, entry.kept_until);
        return end;
    }

    /// When its sessions are to be warned of that; the end of time when they are not to be, or have been.
    Time warning_due(const InstanceEntry& entry) const
    {
        const auto ahead = of(entry).warn_before;
        if (ahead == Duration::zero())
            return Time::max();
        const Time end = coming_end(entry).time;
        return end == Time::max() || end == entry.warned_of ? Time::max() : end - ahead;
    }

    /// Whether its sessions have been warned of that.
    bool has_warned(const InstanceEntry& entry) const { return warns() && entry.warned_of == coming_end(entry).time; }

private:
    struct Set {
        Duration ttl, idle, linger, warn_before;
        friend bool operator==(const Set&, const Set&) = default;
    };

    static Set set_of(const PoolOptions& options)
    {
        return {options.ttl, options.idle, options.linger, options.warn_before};
    }

    std::vector<Set>::iterator find_unused(const InstanceTable& table)
    {
        std::vector<bool> used(sets_.size());
        for (std::uint32_t index = 0; index < table.size(); ++index)
            if (table[index].used)
                used[table[index].limits] = true;
        return sets_.begin() + (std::find(used.begin(), used.end(), false) - used.begin());
    }

    /// Whether any instance has sessions that are to be warned.
    bool warns() const
    {
        return std::any_of(sets_.begin(), sets_.end(),
                           [](const Set& set) { return set.warn_before != Duration::zero(); });
    }

    bool has_ttl(const InstanceEntry& entry) const { return of(entry).ttl != Duration::zero(); }

    /// Of its time to live.
    Time end_of(const InstanceEntry& entry) const
    {
        return entry.claimed + of(entry).ttl + std::chrono::seconds(entry.extended);
    }

    const Set& of(const InstanceEntry& entry) const { return sets_[entry.limits]; }

    std::vector<Set> sets_;
    std::uint32_t current_ = 0;
};

}  // namespace instancer
