// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/config.hpp>
#include <instancer/pool/wait_queue.hpp>

namespace instancer {

INSTANCER_DECL void WaitQueue::push(std::uint32_t client, std::uint32_t owner, Time deadline)
{
    grow(clients_, client);
    grow(owners_, owner);
    clients_[client].owner = owner;
    const std::uint32_t last = by_deadline_.last();
    clients_[client].deadline = last == none ? deadline : std::max(deadline, clients_[last].deadline);
    by_deadline_.push_back(client, detail::links_in<&Client::of_deadlines>(clients_));
    owners_[owner].clients.push_back(client, detail::links_in<&Client::of_owner>(clients_));
    recount(owner, 1);
    if (!owners_[owner].held)
        turns_.push_back(owner, detail::links_in<&Owner::turn>(owners_));
}

INSTANCER_DECL void WaitQueue::cap_deadlines(Time latest)
{
    for (auto client = by_deadline_.last(); client != none && clients_[client].deadline > latest;
         client = clients_[client].of_deadlines.previous)
        clients_[client].deadline = latest;
}

INSTANCER_DECL void WaitQueue::erase(std::uint32_t client)
{
    const std::uint32_t owner = clients_[client].owner;
    by_deadline_.erase(client, detail::links_in<&Client::of_deadlines>(clients_));
    owners_[owner].clients.erase(client, detail::links_in<&Client::of_owner>(clients_));
    recount(owner, -1);
    if (owners_[owner].clients.size() == 0) {
        turns_.erase(owner, detail::links_in<&Owner::turn>(owners_));
        owners_[owner].held = false;
    }
}

INSTANCER_DECL void WaitQueue::end_turn(std::uint32_t owner)
{
    if (owner >= owners_.size() || !owners_[owner].turn.linked())
        return;
    turns_.erase(owner, detail::links_in<&Owner::turn>(owners_));
    turns_.push_back(owner, detail::links_in<&Owner::turn>(owners_));
}

INSTANCER_DECL void WaitQueue::resume(std::uint32_t owner)
{
    if (owner >= owners_.size() || !owners_[owner].held)
        return;
    owners_[owner].held = false;
    turns_.push_front(owner, detail::links_in<&Owner::turn>(owners_));
}

INSTANCER_DECL std::vector<std::uint32_t> WaitQueue::order() const
{
    std::vector<std::uint32_t> all, round;
    all.reserve(size());
    for (auto owner = turns_.first(); owner != none; owner = owners_[owner].turn.next)
        round.push_back(owners_[owner].clients.first());
    while (!round.empty()) {
        all.insert(all.end(), round.begin(), round.end());
        for (auto& client : round)
            client = clients_[client].of_owner.next;
        std::erase(round, none);
    }
    for (auto client = by_deadline_.first(); client != none; client = clients_[client].of_deadlines.next)
        if (owners_[clients_[client].owner].held)
            all.push_back(client);
    return all;
}

INSTANCER_DECL void WaitQueue::recount(std::uint32_t owner, int change)
{
    const std::uint32_t count = owners_[owner].clients.size();
    by_size_.resize(std::max<std::size_t>(by_size_.size(), count + std::size_t{1}));
    by_size_[count - static_cast<std::uint32_t>(change)].erase(owner, detail::links_in<&Owner::peer>(owners_));
    if (count != 0)
        by_size_[count].push_back(owner, detail::links_in<&Owner::peer>(owners_));
    largest_ = std::max<std::size_t>(largest_, count);
    while (largest_ != 0 && by_size_[largest_].size() == 0)
        --largest_;
}

}  // namespace instancer
