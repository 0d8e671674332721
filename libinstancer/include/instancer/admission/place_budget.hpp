// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace instancer {

/// Places that clients take while an admission stage works on them. Several stages may share one.
///
/// Lifetime: lives in a std::shared_ptr; every place holds one.
/// Threads: any.
class PlaceBudget : public std::enable_shared_from_this<PlaceBudget> {
public:
    class Place;

    /// `limit` places.
    explicit PlaceBudget(std::size_t limit) : limit_(limit) {}
    PlaceBudget(const PlaceBudget&) = delete;
    PlaceBudget& operator=(const PlaceBudget&) = delete;

    /// Takes a place; an empty one when all are taken.
    Place take();

    /// How many there are.
    std::size_t limit() const noexcept { return limit_; }
    /// Places that are taken.
    std::size_t taken() const noexcept { return taken_; }

private:
    const std::size_t limit_;
    std::atomic<std::size_t> taken_ = 0;
};

/// One place of a PlaceBudget, which destroying gives back.
///
/// Movable, not copyable.
/// Threads: any one at a time.
class PlaceBudget::Place {
public:
    Place() = default;
    /// Leaves `other` without a place.
    Place(Place&& other) noexcept = default;
    /// Gives back what it held, and leaves `other` without a place.
    Place& operator=(Place&& other) noexcept
    {
        budget_.swap(other.budget_);
        other.give_back();
        return *this;
    }
    ~Place() { give_back(); }

    /// Whether it holds a place.
    explicit operator bool() const noexcept { return budget_ != nullptr; }

    /// Gives back what it holds.
    void give_back() noexcept
    {
        if (const auto budget = std::exchange(budget_, nullptr))
            --budget->taken_;
    }

private:
    friend PlaceBudget;
    explicit Place(std::shared_ptr<PlaceBudget> budget) noexcept : budget_(std::move(budget)) {}

    std::shared_ptr<PlaceBudget> budget_;
};

inline PlaceBudget::Place PlaceBudget::take()
{
    auto taken = taken_.load();
    while (taken < limit_)
        if (taken_.compare_exchange_weak(taken, taken + 1))
            return Place(shared_from_this());
    return {};
}

}  // namespace instancer
