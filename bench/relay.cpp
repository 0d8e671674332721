// SPDX-License-Identifier: MIT
// A pair and a group that meet in a channel of the relay, against the same number of direct connections: bulk from one
// member to all others, and round trips. The pair is also compared with what forward does for two ends, and all of it
// with the original server where it is at hand. The relay is pinned to one processor; the members share the rest.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

using instancer::UniqueFd;

constexpr std::chrono::milliseconds warm_up{200};
constexpr std::chrono::milliseconds measured{1500};
constexpr std::size_t message_size = 64;
constexpr std::size_t group_size = 16;
constexpr timeval patience{5, 0};
constexpr auto original = "BounceServer";
/// The one that is compiled into the original.
constexpr std::string_view secret = "hi";

UniqueFd tcp_socket()
{
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // What a listener accepts has them, too.
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

sockaddr_in loopback(std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

UniqueFd connect_to(std::uint16_t port)
{
    auto fd = tcp_socket();
    const auto address = loopback(port);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("cannot connect");
    return fd;
}

void send_all(int fd, std::string_view data)
{
    while (!data.empty()) {
        const auto count = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
        if (count <= 0)
            throw std::runtime_error("nothing more is taken");
        data.remove_prefix(static_cast<std::size_t>(count));
    }
}

void receive_exactly(int fd, std::size_t size)
{
    std::array<char, 256> data;
    const auto count = ::recv(fd, data.data(), size, MSG_WAITALL);
    if (count != static_cast<ssize_t>(size))
        throw std::runtime_error(count == 0 ? "the connection ended" : "bytes did not arrive");
}

/// Those who speak to each other: the first one with all others.
struct Meeting {
    /// For each of the others a socket of the first one's own; one alone where they share a channel.
    std::vector<UniqueFd> first;
    std::vector<UniqueFd> others;
};

/// Two connected sockets; the one in the middle, if any, listens on `port` and connects to `listener`.
std::pair<UniqueFd, UniqueFd> pair_through(std::uint16_t port, int listener)
{
    auto one = connect_to(port);
    UniqueFd other(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;
    ::setsockopt(other.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {std::move(one), std::move(other)};
}

UniqueFd listen_on(std::uint16_t port)
{
    auto listener = tcp_socket();
    const auto address = loopback(port);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 64) != 0)
        throw std::runtime_error("cannot listen");
    return listener;
}

UniqueFd join(std::uint16_t port, const char* channel)
{
    constexpr std::size_t banner_size = 19;
    auto fd = connect_to(port);
    receive_exactly(fd.get(), banner_size);
    send_all(fd.get(), std::string(secret) + channel);
    receive_exactly(fd.get(), 5);
    return fd;
}

Meeting meet(std::uint16_t port, int listener, const char* channel, std::size_t members)
{
    Meeting meeting;
    if (listener < 0) {
        meeting.first.push_back(join(port, channel));
        while (meeting.others.size() + 1 < members)
            meeting.others.push_back(join(port, channel));
        return meeting;
    }
    while (meeting.others.size() + 1 < members) {
        auto [one, other] = pair_through(port, listener);
        meeting.first.push_back(std::move(one));
        meeting.others.push_back(std::move(other));
    }
    return meeting;
}

/// Waits until `received` has come to `due`, or no longer grows.
void drain(const std::atomic<std::uint64_t>& received, std::uint64_t due)
{
    auto seen = received.load();
    auto last = Clock::now();
    while (seen < due && Clock::now() - last < std::chrono::seconds(patience.tv_sec)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (const auto now = received.load(); now != seen) {
            seen = now;
            last = Clock::now();
        }
    }
}

/// GiB per second that arrive, at all others together. Throws unless all that was sent arrives.
double bulk(const Meeting& meeting)
{
    std::atomic<std::uint64_t> sent = 0, received = 0;
    std::atomic<bool> stop = false;
    std::vector<std::jthread> receivers, senders;
    for (const auto& other : meeting.others)
        receivers.emplace_back([&received, fd = other.get()] {
            std::vector<char> buffer(256 * 1024);
            for (ssize_t count; (count = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC)) > 0;)
                received.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
        });
    for (const auto& first : meeting.first)
        senders.emplace_back([&sent, &stop, fd = first.get()] {
            const std::vector<char> data(256 * 1024, 'x');
            for (ssize_t count; !stop && (count = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL)) > 0;)
                sent.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
        });
    std::this_thread::sleep_for(warm_up);
    const auto begin = Clock::now();
    const auto before = received.load();
    std::this_thread::sleep_for(measured);
    const double gib = static_cast<double>(received - before) / (1 << 30);
    const auto seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    stop = true;
    senders.clear();
    const auto due = sent * meeting.others.size() / meeting.first.size();
    drain(received, due);
    for (const auto* side : {&meeting.first, &meeting.others})
        for (const auto& fd : *side)
            ::shutdown(fd.get(), SHUT_RDWR);
    receivers.clear();
    const auto rate = gib / seconds;
    if (received != due) {
        std::array<char, 100> text;
        std::snprintf(text.data(), text.size(), "only %.0f of %.0f MiB arrived, at %.2f GiB/s",
                      static_cast<double>(received) / (1 << 20), static_cast<double>(due) / (1 << 20), rate);
        throw std::runtime_error(text.data());
    }
    return rate;
}

/// Rounds per second in which a message goes to all others and the last of them answers.
double round_trips(const Meeting& meeting)
{
    const std::string message(message_size, 'x');
    const auto& last = meeting.others.back();
    std::size_t rounds = 0;
    const auto begin = Clock::now() + warm_up, end = begin + measured;
    for (auto now = Clock::now(); now < end; now = Clock::now()) {
        for (const auto& first : meeting.first)
            send_all(first.get(), message);
        for (const auto& other : meeting.others)
            receive_exactly(other.get(), message.size());
        send_all(last.get(), message);
        receive_exactly(meeting.first.back().get(), message.size());
        // In a channel the answer has gone to the others, too.
        if (meeting.first.size() < meeting.others.size())
            for (std::size_t i = 0; i + 1 < meeting.others.size(); ++i)
                receive_exactly(meeting.others[i].get(), message.size());
        rounds += now > begin ? 1 : 0;
    }
    return static_cast<double>(rounds) / std::chrono::duration<double>(measured).count();
}

std::vector<std::string> pinned(std::vector<std::string> words)
{
    words.insert(words.begin(), {"/usr/bin/taskset", "-c", "0"});
    return words;
}

std::vector<std::string> ours(std::vector<std::string> words)
{
    words.insert(words.begin(), INSTANCERD_PATH);
    words.insert(words.end(), {"--threads", "1", "--log-level", "warning"});
    return pinned(std::move(words));
}

/// The original's jar, or an empty text.
std::string original_jar()
{
    const char* jar = std::getenv("BOUNCE_SERVER_JAR");
    if (jar != nullptr && ::access(jar, R_OK) == 0 && std::system("command -v java > /dev/null") == 0)
        return jar;
    std::fprintf(stderr,
                 "relay: %s is left out: it needs java (Debian: default-jre-headless) and, in BOUNCE_SERVER_JAR, the "
                 "path of its jar with dependencies\n",
                 original);
    return {};
}

}  // namespace

std::vector<Outcome> relay(int rounds)
{
    Table pair_bulk("Relay: bulk, a pair", "GiB/s", true), pair_trips("Relay: round trips, a pair", "1/s", true),
        group_bulk("Relay: bulk to 15 members, all together", "GiB/s", true),
        group_trips("Relay: rounds through a channel of 16", "1/s", true);
    const std::array tables = {&pair_bulk, &pair_trips, &group_bulk, &group_trips};
    const auto auth_file = temporary_file("relay-secret", std::string(secret) + "\n");
    std::vector<std::string> names = {"direct", "forward", "relay"};
    const auto jar = original_jar();
    if (!jar.empty())
        names.emplace_back(original);
    for (int round = 0; round < rounds; ++round)
        for (const auto& name : names) {
            const auto port = fresh_port(), to = fresh_port();
            const auto number = std::to_string(port), address = "127.0.0.1:" + number;
            std::vector<std::string> command;
            if (name == "forward")
                command = ours({"forward", "--listen", address, "--to", "127.0.0.1:" + std::to_string(to)});
            else if (name == "relay")
                command = ours({"relay", "--listen", address, "--auth-file", auth_file, "--max-connections", "16"});
            else if (name == original)
                command = pinned({"java", "-jar", jar, "-p", number, "--max-connections", "16"});
            UniqueFd listener;
            if (name == "direct" || name == "forward")
                listener = listen_on(name == "direct" ? port : to);
            const auto with = [&](const char* channel, std::size_t members) {
                return meet(port, listener ? listener.get() : -1, channel, members);
            };
            // A rival that fails does not keep the others from being measured.
            const auto attempt = [&](const std::string& what, const auto& work) {
                try {
                    work();
                    return true;
                } catch (const std::exception& error) {
                    if (name != original)
                        throw std::runtime_error(name + ": " + error.what());
                    std::fprintf(stderr, "%s: %s: %s; left out of round %d\n", what.c_str(), original, error.what(),
                                 round + 1);
                    return false;
                }
            };
            const auto measure = [&](Table& table, double (*work)(const Meeting&), const char* channel,
                                     std::size_t members) {
                if (!attempt(table.work(), [&] { table.add(name, work(with(channel, members))); }))
                    table.complete(name, round + 1);
            };
            std::unique_ptr<Subject> subject;
            const bool started = attempt("Relay", [&] {
                if (!command.empty())
                    subject = std::make_unique<Subject>(name, port, command);
                if (name == "forward")
                    // What it connected for to see whether the port accepts.
                    UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
                // Not counted: what is compiled while it runs gets its chance to be.
                round_trips(with("0000", group_size));
            });
            if (!started) {
                for (auto* table : tables)
                    table->complete(name, round + 1);
                continue;
            }
            measure(pair_bulk, bulk, "0001", 2);
            measure(pair_trips, round_trips, "0002", 2);
            measure(group_bulk, bulk, "0003", group_size);
            measure(group_trips, round_trips, "0004", group_size);
        }
    std::vector<Outcome> outcomes;
    for (auto* table : tables) {
        const auto& names_in = table->subjects();
        const bool rival = std::find(names_in.begin(), names_in.end(), original) != names_in.end();
        outcomes.emplace_back(std::move(*table), rival ? original : "direct");
    }
    return outcomes;
}

}  // namespace bench
