// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/pty.hpp>
#include <instancer/detail/process/standard_streams.hpp>
#include <instancer/detail/socket/passed_descriptors.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>

namespace instancer::detail {

/// Lets the user open it by a name, as in /dev/stderr, and no other user.
inline Result<void> give_to(const ProcessUser* user, const UniqueFd& fd)
{
    if (user && (::fchown(fd.get(), user->uid(), user->gid()) != 0 || ::fchmod(fd.get(), 0600) != 0))
        return fail(last_error(), "giving its standard input and output to its user");
    return {};
}

inline Result<void> open_null(UniqueFd& fd, int access)
{
    fd.reset(::open("/dev/null", access | O_CLOEXEC));
    if (!fd)
        return fail(last_error(), "opening /dev/null");
    return {};
}

INSTANCER_DECL Result<StandardStreams> StandardStreams::open(const ProcessOptions& options, InstanceRequest& request,
                                                             const ProcessUser* user)
{
    StandardStreams streams;
    if (auto opened = streams.open_input(options, request, user); !opened)
        return fail(std::move(opened.error()));
    if (auto opened = streams.open_errors(options, user); !opened)
        return fail(std::move(opened.error()));
    return streams;
}

INSTANCER_DECL Result<void> StandardStreams::open_input(const ProcessOptions& options, InstanceRequest& request,
                                                        const ProcessUser* user)
{
    if (options.io == ProcessIo::socket) {
        theirs = std::move(request.client_socket());
        const int flags = ::fcntl(theirs.get(), F_GETFL);
        ::fcntl(theirs.get(), F_SETFL, flags & ~O_NONBLOCK);
        take_descriptors(theirs.get(), true);
        return {};
    }
    if (options.io == ProcessIo::port)
        return open_null(theirs, O_RDWR);
    if (options.pty != TerminalMode::none) {
        auto pair = open_pty(options.pty);
        if (!pair)
            return fail(pair.error());
        std::tie(ours, theirs) = std::move(*pair);
        terminal = true;
        return give_to(user, theirs);
    }
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(last_error(), "making a socket pair");
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    take_descriptors(ours.get(), false);
    return {};
}

INSTANCER_DECL Result<void> StandardStreams::open_errors(const ProcessOptions& options, const ProcessUser* user)
{
    if (options.stderr_to == StderrTo::log) {
        auto pipe = make_pipe();
        if (!pipe)
            return fail(pipe.error());
        errors_reader = std::move(pipe->reader);
        errors_writer = std::move(pipe->writer);
        return give_to(user, errors_writer);
    }
    if (options.stderr_to == StderrTo::null)
        return open_null(errors_writer, O_WRONLY);
    return {};
}

}  // namespace instancer::detail
