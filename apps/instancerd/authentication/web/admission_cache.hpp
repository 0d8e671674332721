// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

#include <instancer/authenticator.hpp>
#include <instancer/identity.hpp>

namespace instancer::daemon {

/// Clients that were admitted lately, by a digest of what they showed. The oldest of too many is forgotten.
///
/// Threads: one at a time.
class AdmissionCache {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t most = 10'000;  ///< A guess: a few megabytes.

    explicit AdmissionCache(Clock::duration lifetime) : lifetime_(lifetime) {}

    /// The admission, if it is not older than the lifetime.
    std::optional<Admission> fresh(const Digest& key, Clock::time_point now) const
    {
        const auto found = index_.find(key);
        if (found == index_.end() || now - found->second->since >= lifetime_)
            return std::nullopt;
        return found->second->admission;
    }

    /// The admission, however old it is.
    std::optional<Admission> any(const Digest& key) const
    {
        const auto found = index_.find(key);
        return found == index_.end() ? std::nullopt : std::optional(found->second->admission);
    }

    void put(const Digest& key, Admission admission, Clock::time_point now)
    {
        forget(key);
        entries_.emplace_back(key, std::move(admission), now);
        index_.emplace(key, std::prev(entries_.end()));
        if (entries_.size() > most)
            forget(Digest(entries_.front().key));
    }

    void forget(const Digest& key)
    {
        const auto found = index_.find(key);
        if (found == index_.end())
            return;
        entries_.erase(found->second);
        index_.erase(found);
    }

private:
    class Entry {
    public:
        Entry(const Digest& of, Admission who, Clock::time_point when) : key(of), admission(std::move(who)), since(when)
        {
        }

        Digest key;
        Admission admission;
        Clock::time_point since;
    };
    struct Hash {
        std::size_t operator()(const Digest& digest) const noexcept { return digest.hash(); }
    };

    Clock::duration lifetime_;
    std::list<Entry> entries_;  ///< The oldest first.
    std::unordered_map<Digest, std::list<Entry>::iterator, Hash> index_;
};

}  // namespace instancer::daemon
