// SPDX-License-Identifier: MIT
#pragma once

#include <asio/any_io_executor.hpp>

#include <instancer/stream.hpp>

namespace instancer::daemon {

/// The terminal that is our standard input, if we are in its foreground; else an empty stream. Whoever shares the
/// terminal with us does not notice: what we set holds for us alone.
Stream open_terminal(const asio::any_io_executor& executor);

}  // namespace instancer::daemon
