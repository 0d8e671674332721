// SPDX-License-Identifier: MIT
#include "passing.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.hpp"
#include "subject.hpp"

namespace bench {

namespace {

using instancer::UniqueFd;

constexpr std::chrono::milliseconds warm_up{200};
constexpr std::size_t message_size = 64;

void set_no_delay(int fd)
{
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

UniqueFd connect_to(std::uint16_t port)
{
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    set_no_delay(fd.get());
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("cannot connect");
    return fd;
}

/// A proxy may be more than one process.
std::vector<pid_t> family(pid_t pid)
{
    std::vector<pid_t> all = {pid};
    std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
    for (pid_t child = 0; children >> child;)
        all.push_back(child);
    return all;
}

/// Of one process alone.
double processor_time_of(pid_t pid)
{
    double nanoseconds = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        std::ifstream file(thread.path() / "schedstat");
        double one = 0;
        if (file >> one)
            nanoseconds += one;
    }
    return nanoseconds / 1e9;
}

}  // namespace

double processor_time(pid_t pid)
{
    double sum = 0;
    if (pid > 0)
        for (const auto one : family(pid))
            sum += processor_time_of(one);
    return sum;
}

void raise_descriptor_limit()
{
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

Sink::Sink(Kind kind)
    : kind_(kind),
      port_(fresh_port()),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      stop_(::eventfd(0, EFD_CLOEXEC))
{
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 4096) != 0)
        throw std::runtime_error("cannot listen");
    watch(listener_.get());
    watch(stop_.get());
    thread_ = std::jthread([this] { run(); });
}

Sink::~Sink() { ::eventfd_write(stop_.get(), 1); }

void Sink::watch(int fd)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void Sink::run()
{
    std::vector<char> buffer(1 << 20);
    std::array<epoll_event, 64> events;
    for (;;) {
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == stop_.get())
                return;
            if (fd == listener_.get())
                accept();
            else
                serve(fd, buffer);
        }
    }
}

void Sink::accept()
{
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    set_no_delay(fd);
    watch(fd);
    open_.emplace_back(fd);
}

void Sink::serve(int fd, std::vector<char>& buffer)
{
    // The content of what is only counted need not be copied.
    const auto size = ::recv(fd, buffer.data(), buffer.size(), kind_ == Kind::discard ? MSG_TRUNC : 0);
    if (size > 0) {
        received_.fetch_add(static_cast<std::uint64_t>(size), std::memory_order_relaxed);
        if (kind_ == Kind::discard || ::send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size)
            return;
    }
    std::erase_if(open_, [fd](const UniqueFd& one) { return one.get() == fd; });
}

std::vector<UniqueFd> connections(std::uint16_t port, int count)
{
    std::vector<UniqueFd> all;
    for (int i = 0; i < count; ++i)
        all.push_back(connect_to(port));
    return all;
}

/// GiB per second, and the proxy's processor seconds per GiB.
std::pair<double, double> bulk(std::uint16_t port, const Sink& sink, int count, pid_t proxy)
{
    auto all = connections(port, count);
    std::vector<pollfd> polls;
    for (const auto& fd : all) {
        ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
        polls.push_back({fd.get(), POLLOUT, 0});
    }
    const std::vector<char> data(256 * 1024, 'x');
    const auto push_for = [&](std::chrono::milliseconds duration) {
        for (const auto end = Clock::now() + duration; Clock::now() < end;) {
            ::poll(polls.data(), polls.size(), 100);
            for (const auto& one : polls)
                if (one.revents != 0 && ::send(one.fd, data.data(), data.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
                    throw std::runtime_error("bulk: the connection ended");
        }
    };
    push_for(warm_up);
    const auto begin = Clock::now();
    const auto bytes = sink.received();
    const auto processor = processor_time(proxy);
    push_for(measured_for);
    const double gib = static_cast<double>(sink.received() - bytes) / (1 << 30);
    const auto seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return {gib / seconds, (processor_time(proxy) - processor) / gib};
}

Trips round_trips(std::uint16_t port, int count, pid_t proxy)
{
    auto all = connections(port, count);
    const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    std::vector<Clock::time_point> sent(all.size());
    std::vector<double> times;
    const std::array<char, message_size> message{};
    for (std::size_t i = 0; i < all.size(); ++i) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = i;
        ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, all[i].get(), &event);
        sent[i] = Clock::now();
        ::send(all[i].get(), message.data(), message.size(), MSG_NOSIGNAL);
    }
    const auto begin = Clock::now() + warm_up, end = begin + measured_for;
    std::array<epoll_event, 64> events;
    double processor = 0;
    std::size_t all_trips = 0;
    for (auto now = Clock::now(); now < end;) {
        const int ready = ::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), 5000);
        if (ready <= 0)
            throw std::runtime_error("round trips: no answer");
        for (int k = 0; k < ready; ++k) {
            const auto i = events[static_cast<std::size_t>(k)].data.u64;
            std::array<char, message_size> answer;
            if (::recv(all[i].get(), answer.data(), answer.size(), MSG_WAITALL) != message_size)
                throw std::runtime_error("round trips: the connection ended");
            now = Clock::now();
            if (now > begin && all_trips++ == 0)
                processor = processor_time(proxy);
            if (sent[i] > begin)
                times.push_back(std::chrono::duration<double, std::micro>(now - sent[i]).count());
            sent[i] = now;
            ::send(all[i].get(), message.data(), message.size(), MSG_NOSIGNAL);
        }
    }
    const double rate = static_cast<double>(times.size()) / std::chrono::duration<double>(measured_for).count();
    const auto rank = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
    std::nth_element(times.begin(), rank, times.end());
    return {rate, *rank, (processor_time(proxy) - processor) / static_cast<double>(all_trips) * 1e6};
}

}  // namespace bench
