// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <system_error>
#include <utility>

#include <fcntl.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/pty.hpp>
#include <instancer/detail/process/terminal_settings.hpp>
#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<std::size_t> PtyStream::try_read(std::span<std::byte> buffer)
{
    auto count = counted([&] { return ::read(native_handle_of_terminal(), buffer.data(), buffer.size()); });
    // What a terminal says when nobody has its other side open any more.
    if (!count && count.error() == system_error(EIO))
        return 0;
    return count;
}

INSTANCER_DECL Result<std::size_t> PtyStream::try_write(std::span<const std::byte> data)
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

INSTANCER_DECL Result<void> PtyStream::shutdown_send()
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

INSTANCER_DECL Result<std::size_t> PtyStream::write(std::span<const std::byte> data)
{
    auto count = counted([&] { return ::write(native_handle_of_terminal(), data.data(), data.size()); });
    // A full one never says that its other side is gone, and would count as writable for ever.
    if (!count && count.error() == std::error_code(asio::error::would_block) && is_left())
        return fail(system_error(EIO));
    return count;
}

INSTANCER_DECL std::optional<std::byte> PtyStream::end_character() const noexcept
{
    const auto now = settings();
    const auto character = now.c_cc[VEOF];
    if ((now.c_lflag & (ICANON | ISIG)) == 0 || character == _POSIX_VDISABLE)
        return std::nullopt;
    return std::byte{character};
}

INSTANCER_DECL Result<std::pair<UniqueFd, UniqueFd>> open_pty(TerminalMode mode)
{
    UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    char name[64];
    if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
        ::ptsname_r(master.get(), name, sizeof name) != 0)
        return fail(last_error(), "opening a terminal");
    UniqueFd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!slave || !set_terminal(slave.get(), mode))
        return fail(last_error(), "opening a terminal");
    return std::pair(std::move(master), std::move(slave));
}

}  // namespace instancer::detail
