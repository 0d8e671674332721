// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <poll.h>
#include <span>
#include <termios.h>
#include <utility>

#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/terminal_end.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Our side of a terminal whose other side is a process's standard input and output.
class PtyStream final : public SocketStream {
public:
    using SocketStream::SocketStream;

    Result<std::size_t> try_read(std::span<std::byte> buffer) override;

    /// A line feed behind a carriage return is dropped where the terminal makes a line feed of that: telnet ends a line
    /// with both.
    Result<std::size_t> try_write(std::span<const std::byte> data) override;

    /// A raw terminal knows no end of its input: its program is told nothing.
    ///
    /// Errors: asio::error::would_block while the terminal is full.
    Result<void> shutdown_send() override;

    /// Bytes do not pass unchanged.
    int native_handle() const noexcept override { return -1; }

private:
    static constexpr std::byte carriage_return{'\r'};
    static constexpr std::byte line_feed{'\n'};

    int native_handle_of_terminal() const noexcept { return SocketStream::native_handle(); }

    Result<std::size_t> write(std::span<const std::byte> data);

    bool is_left() const noexcept
    {
        pollfd state{native_handle_of_terminal(), 0, 0};
        return ::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
    }

    /// As its program has set the terminal by now; all zero when that cannot be told.
    termios settings() const noexcept
    {
        termios now{};
        if (::tcgetattr(native_handle_of_terminal(), &now) != 0)
            return {};
        return now;
    }

    bool translates_returns() const noexcept
    {
        const auto now = settings();
        return (now.c_lflag & ICANON) != 0 && (now.c_iflag & ICRNL) != 0;
    }

    /// None for a raw terminal. A program that edits lines by itself takes single keys, but leaves signals to the
    /// terminal, and takes this character for the end as well.
    std::optional<std::byte> end_character() const noexcept;

    TerminalEnd end_;
    bool ended_line_ = false;  ///< The last byte was a carriage return that the terminal made a line feed of.
};

/// Opens a terminal: both sides. No echo and no change of line ends, so that the client sees what the program wrote.
INSTANCER_DECL Result<std::pair<UniqueFd, UniqueFd>> open_pty(TerminalMode mode);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/pty.hpp>
#endif
