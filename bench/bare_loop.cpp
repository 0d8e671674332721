// SPDX-License-Identifier: MIT
// The least that a server can do that starts a process per connection: one thread, accept, posix_spawn. What the
// benchmark measures instancerd against. Usage: bare_loop PORT PROGRAM [ARGUMENT...]
#include <csignal>
#include <cstdint>
#include <cstdlib>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char** arguments)
{
    if (count < 3)
        return 2;
    struct sigaction no_zombies {};
    no_zombies.sa_handler = SIG_IGN;
    no_zombies.sa_flags = SA_NOCLDWAIT;
    ::sigaction(SIGCHLD, &no_zombies, nullptr);

    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[1])));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 4096) != 0)
        return 1;
    for (;;) {
        const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, client, 0);
        ::posix_spawn_file_actions_adddup2(&actions, client, 1);
        pid_t pid;
        ::posix_spawn(&pid, arguments[2], &actions, nullptr, arguments + 2, nullptr);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(client);
    }
}
