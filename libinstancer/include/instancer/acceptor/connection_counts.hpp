// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

#include <instancer/acceptor/source.hpp>

namespace instancer {

/// How many connections there are, in all and of each source.
///
/// Threads: any.
class ConnectionCounts {
public:
    /// Counts a connection; false where there are `limit` already. 0 means no limit.
    bool enter(std::size_t limit)
    {
        const std::lock_guard lock(mutex_);
        if (limit != 0 && connections_ >= limit)
            return false;
        ++connections_;
        return true;
    }

    /// The same for one of `source`.
    bool enter(const Source& source, std::size_t limit)
    {
        const std::lock_guard lock(mutex_);
        auto& count = sources_[source];
        if (limit != 0 && count >= limit)
            return false;
        ++count;
        return true;
    }

    /// One that was counted has ended.
    void leave()
    {
        const std::lock_guard lock(mutex_);
        --connections_;
    }

    /// The same for one of `source`.
    void leave(const Source& source)
    {
        const std::lock_guard lock(mutex_);
        const auto place = sources_.find(source);
        if (--place->second == 0)
            sources_.erase(place);
    }

private:
    std::mutex mutex_;
    std::size_t connections_ = 0;
    std::map<Source, std::size_t> sources_;
};

}  // namespace instancer
