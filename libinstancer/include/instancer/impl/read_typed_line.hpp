// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include <asio/error.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/text/typed_line.hpp>
#include <instancer/read_typed_line.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<std::string>> read_typed_line(Stream& stream, std::size_t limit,
                                                                    Negotiation negotiation)
{
    using State = detail::TypedLine::State;
    detail::TypedLine line(limit);
    std::array<std::byte, 256> buffer;
    for (auto state = State::incomplete; state != State::complete;) {
        const auto count = co_await stream.peek_some(buffer);
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            co_return fail(asio::error::make_error_code(asio::error::eof), "within a line");
        std::size_t taken = 0;
        while (state == State::incomplete && taken < *count)
            state = line.feed(std::to_integer<std::uint8_t>(buffer[taken++]));
        stream.consume(taken);
        if (state == State::too_long)
            co_return fail(Errc::rejected, "a line of more than " + std::to_string(limit) + " bytes");
        // Best effort: telnet does without an answer.
        if (const auto reply = line.take_reply(); !reply.empty() && negotiation == Negotiation::refused)
            static_cast<void>(stream.try_write(reply));
    }
    co_return std::string(line.text());
}

}  // namespace instancer
