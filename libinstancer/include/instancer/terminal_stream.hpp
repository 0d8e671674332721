// SPDX-License-Identifier: MIT
#pragma once

#include <asio/any_io_executor.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// Makes a Stream of a terminal that somebody types at; `terminal` is open without blocking. While the process is in
/// the background nothing is there to read: what is typed is for somebody else then.
///
/// `shutdown_send` does nothing, since a terminal has no half-close.
/// Threads: ignore SIGTTIN and SIGTTOU, or reading and writing in the background stop the process.
INSTANCER_DECL Stream make_terminal_stream(const asio::any_io_executor& executor, UniqueFd terminal);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/terminal_stream.hpp>
#endif
