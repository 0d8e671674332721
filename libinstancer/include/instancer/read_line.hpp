// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// Reads up to the end of a line and not a byte beyond it, so that what follows stays in the stream for the instance.
/// The line is given without its `\n` and a `\r` before it. For greetings; it asks the system for each byte.
///
/// Cancellation: that of `Stream::read_some`.
/// Errors: Errc::rejected when the line has more than `limit` bytes; asio::error::eof when the stream ends within it;
/// what the stream reports.
/// Lifetime: `stream` must stay until completion.
/// Threads: the executor of the stream.
inline asio::awaitable<Result<std::string>> read_line(Stream& stream, std::size_t limit)
{
    std::string line;
    for (;;) {
        char byte = 0;
        const std::span<std::byte> place = std::as_writable_bytes(std::span<char>(&byte, 1));
        auto count = co_await stream.read_some(place);
        if (!count)
            co_return fail(std::move(count.error()));
        if (*count == 0)
            co_return fail(asio::error::make_error_code(asio::error::eof), "within a line");
        if (byte == '\n')
            break;
        if (line.size() == limit)
            co_return fail(Errc::rejected, "a line of more than " + std::to_string(limit) + " bytes");
        line += byte;
    }
    if (!line.empty() && line.back() == '\r')
        line.pop_back();
    co_return line;
}

}  // namespace instancer
