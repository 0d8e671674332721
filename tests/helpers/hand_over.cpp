// SPDX-License-Identifier: MIT
// hand_over CONTROL [ADDRESS PORT]: an instance that leaves its client to the test. It passes its standard input and
// output, or the first connection to that port, through the Unix socket CONTROL, keeps no copy, and ends when the test
// closes that connection.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

int accept_one(const char* address, int port)
{
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v6.sin6_family = AF_INET6;
    v4.sin_port = v6.sin6_port = htons(static_cast<std::uint16_t>(port));
    const bool is_v4 = ::inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && ::inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return -1;
    const auto* where = is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
    const int listener = ::socket(where->sa_family, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener, where, is_v4 ? sizeof v4 : sizeof v6) != 0 || ::listen(listener, 1) != 0)
        return -1;
    const int connection = ::accept(listener, nullptr, nullptr);
    ::close(listener);
    return connection;
}

bool pass(int control, int input, int output)
{
    char byte = 0;
    iovec data{&byte, 1};
    const int descriptors[] = {input, output};
    alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof descriptors)] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = ancillary;
    message.msg_controllen = sizeof ancillary;
    auto* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptors);
    std::memcpy(CMSG_DATA(header), descriptors, sizeof descriptors);
    return ::sendmsg(control, &message, MSG_NOSIGNAL) == 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 2 && argc != 4)
        return 2;
    int input = STDIN_FILENO, output = STDOUT_FILENO;
    if (argc == 4) {
        input = output = accept_one(argv[2], std::atoi(argv[3]));
        if (input < 0)
            return 3;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    const int control = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(control, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return 4;
    if (!pass(control, input, output))
        return 5;
    ::close(input);
    if (output != input)
        ::close(output);
    char byte = 0;
    while (::read(control, &byte, 1) < 0 && errno == EINTR) {}
    return 0;
}
