// SPDX-License-Identifier: MIT
// The smallest server on a port: echoes, every connection in turn of arrival, one thread. Linked statically, so that it
// is a container image by itself. Usage: echo_server [PORT], or echo_server - for standard input and output.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

int echo_standard_streams()
{
    char buffer[65536];
    for (;;) {
        const auto size = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (size <= 0 || ::write(STDOUT_FILENO, buffer, static_cast<std::size_t>(size)) != size)
            return 0;
    }
}

}  // namespace

int main(int count, char** arguments)
{
    if (count > 1 && arguments[1] == std::string_view("-"))
        return echo_standard_streams();
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(count > 1 ? std::atoi(arguments[1]) : 9000));
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 1000) != 0)
        return 1;
    std::vector<pollfd> all = {{listener, POLLIN, 0}};
    char buffer[65536];
    for (;;) {
        ::poll(all.data(), all.size(), -1);
        for (std::size_t i = all.size() - 1; i > 0; --i) {
            if (all[i].revents == 0)
                continue;
            const auto size = ::recv(all[i].fd, buffer, sizeof buffer, 0);
            if (size > 0 && ::send(all[i].fd, buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL) == size)
                continue;
            ::close(all[i].fd);
            all[i] = all.back();
            all.pop_back();
        }
        if (all[0].revents != 0)
            if (const int client = ::accept(listener, nullptr, nullptr); client >= 0)
                all.push_back({client, POLLIN, 0});
    }
}
