// SPDX-License-Identifier: MIT
#include "daemon/running_service.hpp"

#include <instancer/server.hpp>

namespace instancer::daemon {

asio::awaitable<std::string> RunningService::condition() { co_return std::string(); }

void RunningService::pause()
{
    paused_ = true;
    for (const auto& part : parts())
        part.server.pause();
}

void RunningService::resume()
{
    paused_ = false;
    for (const auto& part : parts())
        part.server.resume();
}

}  // namespace instancer::daemon
