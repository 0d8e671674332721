// SPDX-License-Identifier: MIT
#include "oci_supervisor.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {

Result<SupervisorEnds> SupervisorEnds::make()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(last_error(), "making a socket pair");
    SupervisorEnds made{UniqueFd(ends[0]), UniqueFd(ends[1])};
    const int on = 1;
    // The kernel then says by which number we know a process of another PID namespace.
    if (::setsockopt(made.ours.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        ::fcntl(made.ours.get(), F_SETFL, O_NONBLOCK) != 0)
        return fail(last_error(), "preparing a socket pair");
    return made;
}

Result<void> tell_supervisor(int end, SupervisorMessage::Kind kind, std::span<const int> descriptors)
{
    SupervisorMessage message;
    message.kind = kind;
    iovec data{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        auto* part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
    }
    if (::sendmsg(end, &header, MSG_NOSIGNAL) < 0)
        return fail(last_error(), "speaking to instancer-init");
    return {};
}

Result<std::optional<SupervisorAnswer>> hear_supervisor(int end)
{
    SupervisorAnswer answer;
    iovec data{&answer.message, sizeof answer.message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const auto size = ::recvmsg(end, &header, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EAGAIN)
        return std::optional<SupervisorAnswer>();
    if (size != static_cast<ssize_t>(sizeof answer.message))
        return fail(size < 0 ? last_error() : system_error(ECONNRESET), "listening to instancer-init");
    for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        if (part->cmsg_type == SCM_RIGHTS) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part), sizeof descriptor);
            answer.descriptor.reset(descriptor);
        } else if (part->cmsg_type == SCM_CREDENTIALS) {
            ucred sender{};
            std::memcpy(&sender, CMSG_DATA(part), sizeof sender);
            answer.pid = sender.pid;
        }
    }
    return std::optional(std::move(answer));
}

}  // namespace instancer::detail::inline oci
