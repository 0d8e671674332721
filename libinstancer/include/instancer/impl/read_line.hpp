// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/config.hpp>
#include <instancer/read_line.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<std::string>> read_line(Stream& stream, std::size_t limit)
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
