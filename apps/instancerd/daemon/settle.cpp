// SPDX-License-Identifier: MIT
#include "daemon/settle.hpp"

#include <cstddef>
#include <memory>

#include <asio/post.hpp>

#include <instancer/async/one_shot.hpp>

namespace instancer::daemon {

asio::awaitable<void> settle(Workers& workers)
{
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const auto turn = std::make_shared<OneShot<bool>>(workers.control());
        asio::post(workers.executor(i), [turn] { turn->complete(true); });
        co_await turn->wait_uncancelled();
    }
}

}  // namespace instancer::daemon
