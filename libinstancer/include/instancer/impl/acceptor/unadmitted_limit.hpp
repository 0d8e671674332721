// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL void UnadmittedLimit::add(std::uint64_t number, Sources::iterator source)
{
    auto& numbers = source->second;
    auto rank = take_rank(numbers);
    numbers.insert(number);
    if (rank)
        give_rank(std::move(rank), numbers);
    else
        ranking_.emplace(Rank(numbers), source);
}

INSTANCER_DECL void UnadmittedLimit::remove(std::uint64_t number, Sources::iterator source) noexcept
{
    auto& numbers = source->second;
    auto rank = take_rank(numbers);
    numbers.erase(number);
    if (numbers.empty())
        sources_.erase(source);
    else if (rank)
        give_rank(std::move(rank), numbers);
}

INSTANCER_DECL void UnadmittedLimit::set_limit(std::size_t limit)
{
    const std::lock_guard lock(mutex_);
    limit_ = limit;
    displace_surplus();
}

INSTANCER_DECL void UnadmittedLimit::displace_oldest(Sources::iterator source)
{
    const auto oldest = connections_.find(*source->second.begin());
    const auto on_displaced = std::move(oldest->second.on_displaced);
    remove(oldest->first, source);
    connections_.erase(oldest);
    on_displaced();
}

INSTANCER_DECL void UnadmittedLimit::displace_surplus()
{
    while (is_over(connections_.size(), limit_) && !ranking_.empty())
        displace_oldest(std::prev(ranking_.end())->second);
}

INSTANCER_DECL void UnadmittedLimit::displace_surplus(Sources::iterator source)
{
    if (is_over(source->second.size(), per_source_))
        displace_oldest(source);
    displace_surplus();
}

INSTANCER_DECL bool UnadmittedLimit::leave(std::uint64_t number) noexcept
{
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(number);
    if (found == connections_.end())
        return false;
    remove(number, found->second.source);
    connections_.erase(found);
    return true;
}

INSTANCER_DECL void UnadmittedLimit::change_source(std::uint64_t number, const Source& source)
{
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(number);
    if (found == connections_.end())
        return;
    const auto to = sources_.try_emplace(source).first;
    const auto from = std::exchange(found->second.source, to);
    if (from == to)
        return;
    remove(number, from);
    add(number, to);
    displace_surplus(to);
}

INSTANCER_DECL UnadmittedLimit::Place UnadmittedLimit::enter(const Source& source, std::function<void()> on_displaced)
{
    Place place;
    const std::lock_guard lock(mutex_);
    if (limit_ == 0 && per_source_ == 0)
        return place;
    const auto number = ++last_number_;
    const auto where = sources_.try_emplace(source).first;
    connections_.try_emplace(number, where, std::move(on_displaced));
    place = Place(*this, number);
    add(number, where);
    displace_surplus(where);
    return place;
}

}  // namespace instancer
