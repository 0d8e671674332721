// SPDX-License-Identifier: MIT
#pragma once

#include <array>

#include <instancer/detail/config.hpp>
#include <instancer/read_line.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<std::string>> read_line(Stream& stream, std::size_t limit)
{
    std::string line;
    std::array<char, 256> buffer;
    for (bool complete = false; !complete;) {
        const auto count = co_await stream.peek_some(std::as_writable_bytes(std::span(buffer)));
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            co_return fail(asio::error::make_error_code(asio::error::eof), "within a line");
        const std::string_view seen(buffer.data(), *count);
        const auto text = seen.substr(0, seen.find('\n'));
        if (text.size() > limit - line.size())
            co_return fail(Errc::rejected, "a line of more than " + std::to_string(limit) + " bytes");
        line += text;
        complete = text.size() < seen.size();
        stream.consume(text.size() + (complete ? 1 : 0));
    }
    if (!line.empty() && line.back() == '\r')
        line.pop_back();
    co_return line;
}

}  // namespace instancer
