// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <termios.h>

#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/process/terminal_end.hpp>
#include <instancer/detail/socket/socket_stream.hpp>

namespace instancer::detail {

/// Our side of a terminal whose other side is a process's standard input and output.
class PtyStream final : public SocketStream {
public:
    using SocketStream::SocketStream;

    Result<std::size_t> try_read(std::span<std::byte> buffer) override
    {
        auto count = counted([&] { return ::read(native_handle_of_terminal(), buffer.data(), buffer.size()); });
        // What a terminal says when nobody has its other side open any more.
        if (!count && count.error() == system_error(EIO))
            return 0;
        return count;
    }

    /// A line feed behind a carriage return is dropped where the terminal makes a line feed of that: telnet ends a line
    /// with both.
    Result<std::size_t> try_write(std::span<const std::byte> data) override
    {
        if (ended_line_ && data.front() == line_feed && translates_returns()) {
            ended_line_ = false;
            return 1;
        }
        const auto line_end = std::find(data.begin(), data.end(), carriage_return);
        const bool ends_line = line_end != data.end() && translates_returns();
        if (ends_line)
            data = data.first(static_cast<std::size_t>(line_end - data.begin()) + 1);
        auto count = write(data);
        if (count)
            ended_line_ = ends_line && *count == data.size();
        return count;
    }

    /// A raw terminal knows no end of its input: its program is told nothing.
    ///
    /// Errors: asio::error::would_block while the terminal is full.
    Result<void> shutdown_send() override
    {
        const auto character = end_character();
        if (!character)
            return {};
        auto ended = end_.write([this](std::span<const std::byte> data) { return write(data); }, *character);
        // Nobody has its other side open any more, and so nobody waits for the end.
        if (!ended && ended.error() == system_error(EIO))
            return {};
        return ended;
    }

    /// Bytes do not pass unchanged.
    int native_handle() const noexcept override { return -1; }

private:
    static constexpr std::byte carriage_return{'\r'};
    static constexpr std::byte line_feed{'\n'};

    int native_handle_of_terminal() const noexcept { return SocketStream::native_handle(); }

    Result<std::size_t> write(std::span<const std::byte> data)
    {
        auto count = counted([&] { return ::write(native_handle_of_terminal(), data.data(), data.size()); });
        // A full one never says that its other side is gone, and would count as writable for ever.
        if (!count && count.error() == std::error_code(asio::error::would_block) && is_left())
            return fail(system_error(EIO));
        return count;
    }

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
    std::optional<std::byte> end_character() const noexcept
    {
        const auto now = settings();
        const auto character = now.c_cc[VEOF];
        if ((now.c_lflag & (ICANON | ISIG)) == 0 || character == _POSIX_VDISABLE)
            return std::nullopt;
        return std::byte{character};
    }

    TerminalEnd end_;
    bool ended_line_ = false;  ///< The last byte was a carriage return that the terminal made a line feed of.
};

/// Opens a terminal: both sides. No echo and no change of line ends, so that the client sees what the program wrote.
inline Result<std::pair<UniqueFd, UniqueFd>> open_pty(TerminalMode mode)
{
    UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    char name[64];
    if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
        ::ptsname_r(master.get(), name, sizeof name) != 0)
        return fail(last_error(), "opening a terminal");
    UniqueFd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios settings{};
    if (!slave || ::tcgetattr(slave.get(), &settings) != 0)
        return fail(last_error(), "opening a terminal");
    settings.c_lflag &= static_cast<tcflag_t>(~(ECHO | ECHOE | ECHOK | ECHONL));
    settings.c_oflag &= static_cast<tcflag_t>(~ONLCR);
    if (mode == TerminalMode::raw)
        ::cfmakeraw(&settings);
    ::tcsetattr(slave.get(), TCSANOW, &settings);
    const winsize size{24, 80, 0, 0};
    ::ioctl(slave.get(), TIOCSWINSZ, &size);
    return std::pair(std::move(master), std::move(slave));
}

}  // namespace instancer::detail
