// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <asio/awaitable.hpp>

#include "daemon/running_service.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// Logs every instance, session and upstream of a service.
///
/// Threads: the control executor of the workers.
asio::awaitable<void> log_status(std::shared_ptr<RunningService> service, Log& log);

}  // namespace instancer::daemon
