// SPDX-License-Identifier: MIT
// Connections passed on to one server, against other proxies and a direct connection: bulk, round trips, connects,
// memory. The proxy is pinned to one processor; the load and the server share the rest.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/detail/unique_fd.hpp>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

using instancer::detail::UniqueFd;

constexpr std::chrono::milliseconds warm_up{200};
constexpr std::chrono::milliseconds measured{1500};
constexpr std::size_t message_size = 64;
constexpr int held_connections = 4000;

void set_no_delay(int fd)
{
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// What the proxies connect to: echoes, or only counts what it gets. One thread.
class Sink {
public:
    enum class Kind { echo, discard };

    explicit Sink(Kind kind) : kind_(kind), port_(fresh_port())
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
    ~Sink() { ::eventfd_write(stop_.get(), 1); }

    std::uint16_t port() const noexcept { return port_; }
    std::uint64_t received() const noexcept { return received_; }

private:
    void watch(int fd)
    {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }

    void run()
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

    void accept()
    {
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0)
            return;
        set_no_delay(fd);
        watch(fd);
        open_.emplace_back(fd);
    }

    void serve(int fd, std::vector<char>& buffer)
    {
        // The content of what is only counted need not be copied.
        const auto size = ::recv(fd, buffer.data(), buffer.size(), kind_ == Kind::discard ? MSG_TRUNC : 0);
        if (size > 0) {
            received_.fetch_add(static_cast<std::uint64_t>(size), std::memory_order_relaxed);
            if (kind_ == Kind::discard ||
                ::send(fd, buffer.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size)
                return;
        }
        std::erase_if(open_, [fd](const UniqueFd& one) { return one.get() == fd; });
    }

    Kind kind_;
    std::uint16_t port_;
    UniqueFd listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
    UniqueFd stop_{::eventfd(0, EFD_CLOEXEC)};
    std::deque<UniqueFd> open_;
    std::atomic<std::uint64_t> received_ = 0;
    std::jthread thread_;
};

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

std::vector<UniqueFd> connections(std::uint16_t port, int count)
{
    std::vector<UniqueFd> all;
    for (int i = 0; i < count; ++i)
        all.push_back(connect_to(port));
    return all;
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

/// Processor time of a process, in seconds, as the scheduler counts it.
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

double processor_time(pid_t pid)
{
    double sum = 0;
    if (pid > 0)
        for (const auto one : family(pid))
            sum += processor_time_of(one);
    return sum;
}

double resident_kib(pid_t pid)
{
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("VmRSS:"))
            return std::stod(line.substr(6));
    return 0;
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
    push_for(measured);
    const double gib = static_cast<double>(sink.received() - bytes) / (1 << 30);
    const auto seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return {gib / seconds, (processor_time(proxy) - processor) / gib};
}

/// Of round trips.
struct Trips {
    double rate;  ///< In one second.
    double tail;  ///< 99th percentile, in microseconds.
    double cost;  ///< The proxy's processor time for each, in microseconds.
};

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
    const auto begin = Clock::now() + warm_up, end = begin + measured;
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
    const double rate = static_cast<double>(times.size()) / std::chrono::duration<double>(measured).count();
    const auto rank = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
    std::nth_element(times.begin(), rank, times.end());
    return {rate, *rank, (processor_time(proxy) - processor) / static_cast<double>(all_trips) * 1e6};
}

/// KiB that the proxy grows by for each idle connection, after a byte each way.
double memory(std::uint16_t port, pid_t proxy)
{
    connections(port, 1);
    const auto before = resident_kib(proxy);
    auto all = connections(port, held_connections);
    for (const auto& fd : all) {
        char byte = 'x';
        if (::send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || ::recv(fd.get(), &byte, 1, 0) != 1)
            throw std::runtime_error("memory: no answer");
    }
    return (resident_kib(proxy) - before) / held_connections;
}

constexpr auto spinning = "instancerd --busy-poll 100us";
constexpr auto socket_proxyd = "systemd-socket-proxyd";
constexpr auto socket_proxyd_path = "/lib/systemd/systemd-socket-proxyd";

std::unique_ptr<Subject> proxy(const std::string& name, std::uint16_t to)
{
    const auto port = fresh_port();
    const auto number = std::to_string(port), server = std::to_string(to);
    std::vector<std::string> command;
    if (name == "haproxy") {
        const auto config = temporary_file(
            "haproxy.cfg",
            "global\n maxconn 4500\n nbthread 1\ndefaults\n mode tcp\n option splice-auto\n timeout connect 5s\n"
            " timeout client 1h\n timeout server 1h\nlisten bench\n bind 127.0.0.1:" +
                number + "\n server one 127.0.0.1:" + server + "\n");
        command = {find_program("haproxy"), "-db", "-f", config};
    } else if (name == "nginx") {
        const auto config = temporary_file(
            "nginx.conf",
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid " +
                temporary_file("nginx.pid", "") +
                ";\nerror_log stderr crit;\nevents { worker_connections 20000; }\n"
                "stream { server { listen 127.0.0.1:" +
                number + "; proxy_pass 127.0.0.1:" + server + "; tcp_nodelay on; } }\n");
        command = {find_program("nginx"), "-c", config};
    } else if (name == "socat") {
        command = {find_program("socat"),
                   "TCP-LISTEN:" + number + ",fork,reuseaddr,backlog=4096,nodelay,bind=127.0.0.1",
                   "TCP:127.0.0.1:" + server + ",nodelay"};
    } else if (name == socket_proxyd) {
        command = {find_program("systemd-socket-activate"),
                   "-l",
                   "127.0.0.1:" + number,
                   socket_proxyd_path,
                   "--connections-max=10000",
                   "127.0.0.1:" + server};
    } else {
        command = {INSTANCERD_PATH,       "forward",   "--listen", "127.0.0.1:" + number, "--to",
                   "127.0.0.1:" + server, "--threads", "1",        "--log-level",         "warning"};
        if (name == spinning)
            command.insert(command.end(), {"--busy-poll", "100us"});
    }
    command.insert(command.begin(), {"/usr/bin/taskset", "-c", "0"});
    return std::make_unique<Subject>(name, port, command);
}

}  // namespace

std::vector<Outcome> forward(int rounds)
{
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);

    std::vector<std::string> names = {"direct", "instancerd", spinning};
    for (const auto* peer : {"haproxy", "nginx", "socat"})
        if (!find_program(peer).empty())
            names.emplace_back(peer);
    if (::access(socket_proxyd_path, X_OK) == 0 && !find_program("systemd-socket-activate").empty())
        names.emplace_back(socket_proxyd);
    const auto baseline = find_program("haproxy").empty() ? "direct" : "haproxy";
    Table bulk_one("Bulk, 1 connection", "GiB/s", true), bulk_many("Bulk, 16 connections", "GiB/s", true),
        bulk_cost("Processor time of the proxy, 16 connections", "s/GiB", false),
        trips_one("Round trips of 64 bytes, 1 connection", "1/s", true),
        trips_one_cost("Processor time of the proxy for each", "us", false),
        trips_many("Round trips of 64 bytes, 64 connections", "1/s", true),
        trips_tail("Their 99th percentile", "us", false),
        trips_many_cost("Processor time of the proxy for each, 64 connections", "us", false),
        connects("Connect, a byte and its echo, close; 4 clients", "1/s", true),
        connect_cost("Processor time of the proxy for each of them", "us", false),
        idle("Memory of an idle connection", "KiB", false);
    for (int round = 0; round < rounds; ++round)
        for (const auto& name : names) {
            const Sink echo(Sink::Kind::echo), discard(Sink::Kind::discard);
            const auto via = [&](const Sink& sink) { return name == "direct" ? nullptr : proxy(name, sink.port()); };
            try {
                const auto to_echo = via(echo), to_discard = via(discard);
                const auto port = to_echo ? to_echo->port() : echo.port();
                const auto bulk_port = to_discard ? to_discard->port() : discard.port();
                const pid_t pid = to_discard ? to_discard->pid() : 0, echo_pid = to_echo ? to_echo->pid() : 0;
                bulk_one.add(name, bulk(bulk_port, discard, 1, pid).first);
                const auto [bulk_rate, cost] = bulk(bulk_port, discard, 16, pid);
                bulk_many.add(name, bulk_rate);
                if (pid != 0)
                    bulk_cost.add(name, cost);
                const auto one = round_trips(port, 1, echo_pid), many = round_trips(port, 64, echo_pid);
                trips_one.add(name, one.rate);
                trips_many.add(name, many.rate);
                trips_tail.add(name, many.tail);
                const auto processor = processor_time(echo_pid);
                const auto rate = echo_rate(port, 4, measured);
                const auto connect_time = processor_time(echo_pid) - processor;
                connects.add(name, rate);
                if (echo_pid != 0) {
                    trips_one_cost.add(name, one.cost);
                    trips_many_cost.add(name, many.cost);
                    connect_cost.add(name, connect_time / rate / std::chrono::duration<double>(measured).count() * 1e6);
                }
                // A process for each connection is beyond what is compared here.
                if (to_echo && name != "socat")
                    idle.add(name, memory(port, to_echo->pid()));
            } catch (const std::exception& error) {
                // A rival that fails does not keep the others from being measured.
                if (name.starts_with("instancerd"))
                    throw std::runtime_error(name + ": " + error.what());
                std::fprintf(stderr, "forward: %s: %s; the rest of its round is left out\n", name.c_str(),
                             error.what());
            }
        }
    std::vector<Outcome> outcomes;
    for (auto* table : {&bulk_one, &bulk_many, &bulk_cost, &trips_one, &trips_one_cost, &trips_many, &trips_tail,
                        &trips_many_cost, &connects, &connect_cost, &idle})
        outcomes.emplace_back(std::move(*table), baseline);
    return outcomes;
}

}  // namespace bench
