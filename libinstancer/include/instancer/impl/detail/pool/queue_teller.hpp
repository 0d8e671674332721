// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <instancer/detail/config.hpp>
#include <instancer/detail/pool/queue_teller.hpp>

namespace instancer::detail {

INSTANCER_DECL void QueueTeller::tell_later(std::weak_ptr<const void> pool)
{
    if (enabled_ && state_.queued() != 0)
        call_.request(std::move(pool), [this] { tell(); });
}

INSTANCER_DECL void QueueTeller::tell()
{
    const auto order = state_.queue_order();
    for (std::size_t i = 0; i < order.size(); ++i) {
        const auto client = clients_.find(order[i]);
        if (!client || !client->request().on_queue())
            continue;
        const QueuePlace place(i + 1, order.size());
        if (std::exchange(client->place, place) != place)
            client->request().on_queue()(place);
    }
}

}  // namespace instancer::detail
