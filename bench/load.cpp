// SPDX-License-Identifier: MIT
#include "load.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "report.hpp"

namespace bench {

bool Connection::open(std::uint16_t port)
{
    close();
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval limit{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool Connection::send(std::string_view data)
{
    return ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(data.size());
}

bool Connection::receive_byte()
{
    char byte;
    return ::recv(fd_, &byte, 1, 0) == 1;
}

bool Connection::receive(std::string& text)
{
    char buffer[4096];
    const auto count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count > 0)
        text.append(buffer, static_cast<std::size_t>(count));
    return count > 0;
}

void Connection::close()
{
    if (fd_ >= 0)
        ::close(std::exchange(fd_, -1));
}

double echo_rate(std::uint16_t port, int clients, std::chrono::milliseconds duration)
{
    std::atomic<long> rounds{0}, failures{0};
    const auto begin = Clock::now();
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < clients; ++i)
            threads.emplace_back([&] {
                while (Clock::now() - begin < duration) {
                    Connection connection;
                    if (connection.open(port) && connection.send("x") && connection.receive_byte())
                        ++rounds;
                    else
                        ++failures;
                }
            });
    }
    if (failures > 0)
        throw std::runtime_error(std::to_string(failures) + " rounds failed");
    return static_cast<double>(rounds) / std::chrono::duration<double>(Clock::now() - begin).count();
}

double first_byte_time(std::uint16_t port, std::string_view say, int count, std::chrono::microseconds pause)
{
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
        const auto begin = Clock::now();
        Connection connection;
        if (!connection.open(port) || !connection.send(say) || !connection.receive_byte())
            throw std::runtime_error("no answer on port " + std::to_string(port));
        times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
        connection.close();
        std::this_thread::sleep_for(pause);
    }
    return median(std::move(times));
}

}  // namespace bench
