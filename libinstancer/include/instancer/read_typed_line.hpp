// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include <asio/awaitable.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// What becomes of telnet's wishes to negotiate.
enum class Negotiation {
    refused,  ///< The client is told so.
    ignored,  ///< The client gets no byte.
};

/// Reads a line that somebody types into nc or telnet, and not a byte beyond it, so that what follows stays in the
/// stream for the instance. It ends with LF, CR LF or CR NUL, and is given without that and without blanks around it.
/// What telnet wants to negotiate is no part of the line.
///
/// Cancellation: that of `Stream::peek_some`; what was read of the line is lost.
/// Errors: Errc::rejected when the line has more than `limit` bytes; asio::error::eof when the stream ends within it;
/// what the stream reports.
/// Lifetime: `stream` must stay until completion.
/// Threads: the executor of the stream.
INSTANCER_DECL asio::awaitable<Result<std::string>> read_typed_line(Stream& stream, std::size_t limit,
                                                                    Negotiation negotiation = Negotiation::refused);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/read_typed_line.hpp>
#endif
