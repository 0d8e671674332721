// SPDX-License-Identifier: MIT
#pragma once

#include <asio/awaitable.hpp>

#include <instancer/workers.hpp>

namespace instancer::daemon {

/// Lets everything run that is posted to the workers by now.
///
/// Cancellation: none.
/// Threads: the control executor.
asio::awaitable<void> settle(Workers& workers);

}  // namespace instancer::daemon
