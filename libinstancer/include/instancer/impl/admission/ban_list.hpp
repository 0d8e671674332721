// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/admission/ban_list.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL std::optional<Ban> BanList::note_failure(const asio::ip::address& address, const std::string& reason,
                                                        Clock::time_point now, Ban::Time time)
{
    const Network source = source_of(address);
    if (failures_.allow(number_of(source), now) || find(address, time))
        return std::nullopt;
    const auto before = records_.find(source);
    const unsigned times =
        before == records_.end() || before->second.until + options_.longest <= time ? 0 : before->second.times;
    auto span = options_.duration;
    for (unsigned i = 0; i < times && span < options_.longest; ++i)
        span *= 2;
    Ban ban(source, time + std::min(span, options_.longest), reason, times + 1);
    put(ban, ban.times);
    return ban;
}

INSTANCER_DECL std::optional<Ban> BanList::find(const asio::ip::address& address, Ban::Time time) const
{
    const Network exact(address);
    const auto& sizes = sizes_[exact.is_v4() ? 1 : 0];
    for (auto size = sizes.rbegin(); size != sizes.rend(); ++size) {
        const auto found = records_.find(exact.widened(size->first));
        if (found != records_.end() && time < found->second.until)
            return Ban(found->first, found->second.until, found->second.reason, found->second.times);
    }
    return std::nullopt;
}

INSTANCER_DECL std::vector<Ban> BanList::ending_after(Ban::Time time) const
{
    std::vector<Ban> bans;
    for (const auto& [until, network] : by_end_) {
        const auto& record = records_.at(network);
        if (time < until)
            bans.emplace_back(network, until, record.reason, record.times);
    }
    return bans;
}

INSTANCER_DECL std::uint64_t BanList::number_of(const Network& source) const
{
    detail::Sha256 hash;
    hash.update(key_);
    hash.update(source.to_string());
    const auto digest = hash.finish();
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i)
        number = number << 8 | digest[i];
    return number;
}

INSTANCER_DECL void BanList::put(const Ban& ban, unsigned times)
{
    remove(ban.network);
    while (!records_.empty() && records_.size() >= options_.max_bans)
        erase(records_.find(by_end_.begin()->second));
    records_.emplace(ban.network, Record{ban.until, ban.reason, times});
    by_end_.emplace(ban.until, ban.network);
    ++sizes_[ban.network.is_v4() ? 1 : 0][ban.network.bits()];
}

INSTANCER_DECL void BanList::erase(Records::iterator place)
{
    const Network network = place->first;
    auto& sizes = sizes_[network.is_v4() ? 1 : 0];
    if (--sizes[network.bits()] == 0)
        sizes.erase(network.bits());
    by_end_.erase({place->second.until, network});
    records_.erase(place);
}

}  // namespace instancer
