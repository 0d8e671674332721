// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include <instancer/acceptor/source.hpp>

namespace instancer {

/// A cap on connections that have yet to be admitted, which several servers may share: so that clients who say nothing
/// cannot use up the descriptors that all others need.
///
/// A newcomer always gets a place. Where that is one too many, the oldest connection of the source that has most is
/// displaced; of sources that have the same number, the one whose connection is the oldest. A source may have a limit
/// of its own besides, beyond which its oldest connection is displaced.
///
/// Lifetime: must outlive its places.
/// Threads: any.
class UnadmittedLimit {
public:
    class Place;

    /// `limit` connections at once, and `per_source` of each source; 0 means no limit.
    explicit UnadmittedLimit(std::size_t limit, std::size_t per_source = 0) : per_source_(per_source), limit_(limit) {}
    UnadmittedLimit(const UnadmittedLimit&) = delete;
    UnadmittedLimit& operator=(const UnadmittedLimit&) = delete;

    /// Takes a place for a connection that has just come.
    ///
    /// `on_displaced` is called, on any thread, when the place is lost to another connection. It may only post: calls
    /// back into the limit would wait for themselves.
    ///
    /// Time: logarithmic in the number of places, as all that can be done with a place.
    Place enter(const Source& source, std::function<void()> on_displaced);

    /// Takes another limit, 0 for none; connections beyond it are displaced.
    void set_limit(std::size_t limit);

    /// How many there are; 0 means no limit.
    std::size_t limit() const
    {
        const std::lock_guard lock(mutex_);
        return limit_;
    }

    /// Places that are taken.
    std::size_t count() const
    {
        const std::lock_guard lock(mutex_);
        return connections_.size();
    }

private:
    /// Numbers count up, so that the first one is the oldest.
    using Numbers = std::set<std::uint64_t>;
    using Sources = std::map<Source, Numbers>;

    struct Connection {
        Connection(Sources::iterator of, std::function<void()> displaced)
            : source(of), on_displaced(std::move(displaced))
        {
        }

        Sources::iterator source;
        std::function<void()> on_displaced;
    };

    /// Of a source with at least one connection. The last one is displaced next.
    struct Rank {
        explicit Rank(const Numbers& of) : count(of.size()), youth(~*of.begin()) {}

        std::size_t count;
        std::uint64_t youth;  ///< Of the oldest connection. It also tells apart two sources.

        friend auto operator<=>(const Rank&, const Rank&) = default;
    };

    using Ranking = std::map<Rank, Sources::iterator>;

    /// A source that there is no memory to rank is not displaced from.
    void add(std::uint64_t number, Sources::iterator source);

    void remove(std::uint64_t number, Sources::iterator source) noexcept;

    Ranking::node_type take_rank(const Numbers& numbers) noexcept
    {
        return numbers.empty() ? Ranking::node_type() : ranking_.extract(Rank(numbers));
    }

    void give_rank(Ranking::node_type rank, const Numbers& numbers) noexcept
    {
        rank.key() = Rank(numbers);
        ranking_.insert(std::move(rank));
    }

    static bool is_over(std::size_t count, std::size_t limit) noexcept { return limit != 0 && count > limit; }

    void displace_oldest(Sources::iterator source);

    /// Those that are too many of all.
    void displace_surplus();

    /// Those that are too many of `source`, and of all.
    void displace_surplus(Sources::iterator source);

    bool leave(std::uint64_t number) noexcept;

    void change_source(std::uint64_t number, const Source& source);

    const std::size_t per_source_;
    mutable std::mutex mutex_;  ///< Guards what follows.
    std::size_t limit_;
    std::uint64_t last_number_ = 0;
    std::unordered_map<std::uint64_t, Connection> connections_;
    Sources sources_;
    Ranking ranking_;
};

/// The place of one connection, which destroying gives back.
///
/// Movable, not copyable.
/// Threads: any one at a time.
class UnadmittedLimit::Place {
public:
    Place() = default;
    /// Leaves `other` without a place.
    Place(Place&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)), number_(other.number_) {}
    /// Gives back what it held, and leaves `other` without a place.
    Place& operator=(Place&& other) noexcept
    {
        std::swap(limit_, other.limit_);
        std::swap(number_, other.number_);
        other.give_back();
        return *this;
    }
    ~Place() { give_back(); }

    /// For a connection that is admitted, or over. False when the place was lost before; then the end of the
    /// connection is under way.
    bool give_back() noexcept
    {
        auto* const limit = std::exchange(limit_, nullptr);
        return !limit || limit->leave(number_);
    }

    /// For a connection of which it has just become known where it comes from. It keeps its age.
    void change_source(const Source& source)
    {
        if (limit_)
            limit_->change_source(number_, source);
    }

private:
    friend UnadmittedLimit;
    Place(UnadmittedLimit& limit, std::uint64_t number) : limit_(&limit), number_(number) {}

    UnadmittedLimit* limit_ = nullptr;
    std::uint64_t number_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/acceptor/unadmitted_limit.hpp>
#endif
