// SPDX-License-Identifier: MIT
#include "wrong_proofs.hpp"

#include <stdexcept>
#include <string_view>

#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

namespace {

/// It costs as many squarings to verify as a right one.
constexpr std::string_view wrong_answer = "s.AAAB\n";

sockaddr_in loopback(std::uint32_t host, std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    return address;
}

/// The calling thread has the lowest priority from now on, also among those at real-time priority.
void give_way()
{
    const int policy = ::sched_getscheduler(0);
    sched_param lowest{};
    lowest.sched_priority = ::sched_get_priority_min(policy);
    ::sched_setscheduler(0, policy, &lowest);
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
}

}  // namespace

WrongProofs::WrongProofs(std::uint16_t port, std::size_t clients, bool one_address)
    : port_(port), one_address_(one_address), poller_(::epoll_create1(EPOLL_CLOEXEC)), sockets_(clients, -1)
{
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

WrongProofs::~WrongProofs()
{
    thread_ = {};
    for (const int socket : sockets_)
        ::close(socket);
    ::close(poller_);
}

void WrongProofs::run(const std::stop_token& stop)
{
    give_way();
    for (std::size_t client = 0; client < sockets_.size(); ++client)
        connect(client);
    while (!stop.stop_requested()) {
        epoll_event events[64];
        const int count = ::epoll_wait(poller_, events, 64, 50);
        for (int i = 0; i < count; ++i)
            go_on(events[i].data.u64, events[i].events);
    }
}

void WrongProofs::connect(std::size_t client)
{
    int& socket = sockets_[client];
    if (socket >= 0)
        ::close(socket);
    socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const auto from = loopback(one_address_ ? 2 : static_cast<std::uint32_t>(2 + client), 0), to = loopback(1, port_);
    ::bind(socket, reinterpret_cast<const sockaddr*>(&from), sizeof from);
    ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    epoll_event wanted{};
    wanted.events = EPOLLOUT;
    wanted.data.u64 = client;
    ::epoll_ctl(poller_, EPOLL_CTL_ADD, socket, &wanted);
}

void WrongProofs::go_on(std::size_t client, std::uint32_t events)
{
    const int socket = sockets_[client];
    if (events & EPOLLOUT) {
        // The question need not be read for a wrong answer.
        ::send(socket, wrong_answer.data(), wrong_answer.size(), MSG_NOSIGNAL);
        epoll_event wanted{};
        wanted.events = EPOLLIN;
        wanted.data.u64 = client;
        ::epoll_ctl(poller_, EPOLL_CTL_MOD, socket, &wanted);
        return;
    }
    char text[4096];
    if (::recv(socket, text, sizeof text, 0) > 0)
        return;
    ++refused_;
    connect(client);
}

}  // namespace bench
