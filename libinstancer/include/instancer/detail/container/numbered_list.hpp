// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace instancer::detail {

/// Values that are found by a number which the list gives them, and gives to others later. Of many small values this
/// needs less memory than a map, and adding one seldom takes any.
template <class T>
class NumberedList {
public:
    std::uint32_t add(T value)
    {
        if (free_.empty()) {
            values_.push_back(std::move(value));
            if (free_.capacity() < values_.size())
                free_.reserve(2 * values_.size());
            return static_cast<std::uint32_t>(values_.size() - 1);
        }
        const auto number = free_.back();
        values_[number] = std::move(value);
        free_.pop_back();
        return number;
    }

    /// `number` is in use. Needs no memory.
    void erase(std::uint32_t number) noexcept
    {
        values_[number] = T();
        free_.push_back(number);
    }

    std::size_t size() const noexcept { return values_.size() - free_.size(); }

    /// Numbers that are not in use have an empty value.
    auto begin() noexcept { return values_.begin(); }
    auto end() noexcept { return values_.end(); }

private:
    std::deque<T> values_;
    std::vector<std::uint32_t> free_;
};

}  // namespace instancer::detail
