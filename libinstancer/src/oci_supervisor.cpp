// SPDX-License-Identifier: MIT
#include "oci_supervisor.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {

namespace {

constexpr std::chrono::milliseconds socket_patience{3000};  ///< A guess.

/// What comes beside a message; none where there is nothing of that type.
template <class T>
std::optional<T> value_of(msghdr& header, int type)
{
    for (auto* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != type)
            continue;
        T value{};
        std::memcpy(&value, CMSG_DATA(part), sizeof value);
        return value;
    }
    return std::nullopt;
}

}  // namespace

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
    answer.descriptor.reset(value_of<int>(header, SCM_RIGHTS).value_or(-1));
    if (const auto sender = value_of<ucred>(header, SCM_CREDENTIALS))
        answer.pid = sender->pid;
    return std::optional(std::move(answer));
}

namespace {

class SocketAnswer {
public:
    SocketRequest request;
    UniqueFd socket;

    SocketAnswer() = default;
};

bool comes_in_time(int requests)
{
    pollfd answered{requests, POLLIN, 0};
    int count = 0;
    do
        count = ::poll(&answered, 1, static_cast<int>(socket_patience.count()));
    while (count < 0 && errno == EINTR);
    return count == 1;
}

Result<SocketAnswer> hear_socket(int requests)
{
    if (!comes_in_time(requests))
        return fail(system_error(ETIMEDOUT), "waiting for a socket of instancer-init");
    SocketAnswer answer;
    iovec data{&answer.request, sizeof answer.request};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const auto size = ::recvmsg(requests, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size != static_cast<ssize_t>(sizeof answer.request))
        return fail(system_error(ECONNRESET), "waiting for a socket of instancer-init");
    answer.socket.reset(value_of<int>(header, SCM_RIGHTS).value_or(-1));
    return answer;
}

}  // namespace

Result<UniqueFd> ask_for_socket(int requests, int family)
{
    static std::atomic<unsigned> last_number = 0;
    SocketRequest request;
    request.family = family;
    request.number = ++last_number;
    if (::send(requests, &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return fail(last_error(), "asking instancer-init for a socket");
    for (;;) {
        auto answer = hear_socket(requests);
        if (!answer)
            return fail(std::move(answer.error()));
        // One that was asked for before came too late.
        if (answer->request.number != request.number)
            continue;
        if (!answer->socket)
            return fail(system_error(answer->request.error), "opening a socket in the container");
        return std::move(answer->socket);
    }
}

}  // namespace instancer::detail::inline oci
