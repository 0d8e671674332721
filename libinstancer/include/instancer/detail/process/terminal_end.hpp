// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include <instancer/result.hpp>

namespace instancer::detail {

/// The end of a terminal's input. A terminal knows no half-close; what ends its input is a character. Within a line the
/// first one ends only the line, and an end that was read is forgotten: so there are enough for whoever reads on, like
/// a shell whose command met the end.
class TerminalEnd {
public:
    /// Writes what is left of it through `try_write`.
    ///
    /// Errors: those of `try_write`; after asio::error::would_block it can go on.
    template <class TryWrite>
    Result<void> write(const TryWrite& try_write, std::byte character = std::byte{4})
    {
        std::array<std::byte, count> characters;
        characters.fill(character);
        while (written_ < count) {
            const auto sent = try_write(std::span<const std::byte>(characters).subspan(written_));
            if (!sent)
                return fail(sent.error());
            written_ += *sent;
        }
        return {};
    }

private:
    static constexpr std::size_t count = 16;

    std::size_t written_ = 0;
};

}  // namespace instancer::detail
