// SPDX-License-Identifier: MIT
#include "refuser.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

namespace {

constexpr std::string_view question =
    "== proof-of-work: enabled ==\n"
    "please solve a pow first\n"
    "You can run the solver with:\n"
    "    python3 <(curl -sSL https://goo.gle/kctf-pow) solve s.AAAM.AACf2NMqGwBZWlzNmA6Jv8uv\n"
    "===================\n\n"
    "Solution? ";
constexpr std::string_view refusal = "Proof-of-work fail.\n";

void add(int poller, int socket)
{
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.fd = socket;
    ::epoll_ctl(poller, EPOLL_CTL_ADD, socket, &wanted);
}

void refuse(int client)
{
    char answer[512];
    if (::recv(client, answer, sizeof answer, 0) > 0)
        ::send(client, refusal.data(), refusal.size(), MSG_NOSIGNAL);
    ::close(client);
}

}  // namespace

Refuser::Refuser(std::uint16_t port)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
      poller_(::epoll_create1(EPOLL_CLOEXEC))
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, SOMAXCONN) != 0)
        throw std::runtime_error("cannot listen on port " + std::to_string(port));
    add(poller_, listener_);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Refuser::~Refuser()
{
    thread_ = {};
    ::close(listener_);
    ::close(poller_);
}

void Refuser::run(const std::stop_token& stop) const
{
    while (!stop.stop_requested()) {
        epoll_event events[64];
        const int count = ::epoll_wait(poller_, events, 64, 50);
        for (int i = 0; i < count; ++i)
            if (events[i].data.fd == listener_)
                accept();
            else
                refuse(events[i].data.fd);
    }
}

void Refuser::accept() const
{
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    ::send(client, question.data(), question.size(), MSG_NOSIGNAL);
    add(poller_, client);
}

}  // namespace bench
