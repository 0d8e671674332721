// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Reads up to the end of a line and not a byte beyond it, so that what follows stays in the stream for the instance.
/// The line is given without its `\n` and a `\r` before it.
///
/// Cancellation: that of `Stream::peek_some`; what was read of the line is lost.
/// Errors: Errc::rejected when the line has more than `limit` bytes; asio::error::eof when the stream ends within it;
/// what the stream reports.
/// Lifetime: `stream` must stay until completion.
/// Threads: the executor of the stream.
INSTANCER_DECL asio::awaitable<Result<std::string>> read_line(Stream& stream, std::size_t limit);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/read_line.hpp>
#endif
