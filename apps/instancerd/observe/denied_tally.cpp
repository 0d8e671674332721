// SPDX-License-Identifier: MIT
#include "observe/denied_tally.hpp"

#include <algorithm>

namespace instancer::daemon {

bool DeniedTally::count(const std::string& service, const std::string& source, Clock::time_point now)
{
    if (counts_.empty())
        end_ = now + window;
    auto found = counts_.find({service, source});
    if (found == counts_.end() && counts_.size() < most_sources)
        found = counts_.emplace(std::pair(service, source), Counts()).first;
    if (found == counts_.end()) {
        ++others_;
        return false;
    }
    auto& counts = found->second;
    if (counts.told >= lines_per_source || lines_ >= lines_in_all) {
        ++counts.untold;
        return false;
    }
    ++counts.told;
    ++lines_;
    return true;
}

std::vector<DeniedTally::Summary> DeniedTally::take(Clock::time_point now)
{
    return now < end_ ? std::vector<Summary>() : take_all();
}

std::vector<DeniedTally::Summary> DeniedTally::take_all()
{
    std::vector<Summary> all;
    for (const auto& [whose, counts] : counts_)
        if (counts.untold != 0)
            all.emplace_back(whose.first, whose.second, counts.untold);
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
    std::size_t others = others_;
    for (; all.size() > most_summaries; all.pop_back())
        others += all.back().count;
    if (others != 0)
        all.emplace_back("", "", others);
    counts_.clear();
    lines_ = others_ = 0;
    return all;
}

}  // namespace instancer::daemon
