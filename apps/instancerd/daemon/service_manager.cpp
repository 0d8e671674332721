// SPDX-License-Identifier: MIT
#include "daemon/service_manager.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/unique_fd.hpp>

namespace instancer::daemon {

void tell_service_manager(std::string_view state)
{
    const char* variable = std::getenv("NOTIFY_SOCKET");
    const std::string_view path = variable ? variable : "";
    sockaddr_un address{};
    if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path.front() != '/' && path.front() != '@'))
        return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path.front() == '@')
        address.sun_path[0] = '\0';  // a name that is in no file system
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    const instancer::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
}

}  // namespace instancer::daemon
