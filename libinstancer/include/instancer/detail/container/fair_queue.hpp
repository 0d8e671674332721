// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace instancer::detail {

/// Values that wait, in a line for each key; the keys take turns.
///
/// Threads: one at a time.
template <class Key, class Value>
class FairQueue {
public:
    void push(const Key& key, Value value)
    {
        auto& line = lines_[key];
        if (line.empty())
            turns_.push_back(key);
        line.push_back(std::move(value));
    }

    /// The first value of the key whose turn it is.
    std::optional<Value> pop()
    {
        if (turns_.empty())
            return std::nullopt;
        const auto found = lines_.find(turns_.front());
        turns_.pop_front();
        Value value = std::move(found->second.front());
        found->second.pop_front();
        if (found->second.empty())
            lines_.erase(found);
        else
            turns_.push_back(found->first);
        return value;
    }

private:
    std::map<Key, std::deque<Value>> lines_;
    std::deque<Key> turns_;
};

}  // namespace instancer::detail
