// SPDX-License-Identifier: MIT
#include <scripted_end.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace transparency {

namespace {

/// Nothing that goes well takes so long.
constexpr auto patience = 10s;
/// Nothing that is on its way takes so long.
constexpr auto calm = 100ms;

class Stuck : public std::runtime_error {
    using runtime_error::runtime_error;
};

/// SplitMix64 by Sebastiano Vigna: the output for one counter value.
std::uint64_t mixed(std::uint64_t value)
{
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

bool is_socket(int fd)
{
    struct stat status {};
    return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

void run(const std::function<void(End&)>& script, End& end)
{
    // A pipe that nobody reads is an error of the write like any other.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    try {
        script(end);
    } catch (const Stuck& stuck) {
        end.seen().stuck = stuck.what();
        end.close();  // So that the other one need not wait as long.
    }
}

}  // namespace

std::string noise(std::uint64_t seed, std::size_t from, std::size_t size)
{
    std::string bytes(size, '\0');
    const auto start = mixed(seed);
    for (std::size_t i = 0; i < size;) {
        auto word = mixed(start + (from + i) / 8) >> 8 * ((from + i) % 8);
        do {
            bytes[i++] = static_cast<char>(word);
            word >>= 8;
        } while (i < size && (from + i) % 8 != 0);
    }
    return bytes;
}

std::ostream& operator<<(std::ostream& out, Ended ended)
{
    switch (ended) {
    case Ended::not_seen: return out << "not seen";
    case Ended::in_order: return out << "in order";
    case Ended::by_reset: return out << "by a reset";
    }
    return out;
}

End::End(Line line, std::uint64_t seed)
    : line_(std::move(line)),
      seed_(seed),
      random_(static_cast<std::minstd_rand::result_type>(mixed(seed))),
      socket_(is_socket(line_.input.get()))
{
    for (const int fd : {input(), output()})
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

std::size_t End::random_size() { return 1 + random_() % (std::size_t(1) << random_() % 18); }

void End::transfer(std::size_t size, bool reading)
{
    const auto goal = seen_.sent + size;
    while (seen_.sent < goal && !seen_.refused) {
        if (reading && seen_.ended == Ended::not_seen)
            while (read_some()) {}
        const auto piece_end = std::min(goal, seen_.sent + random_size());
        while (seen_.sent < piece_end && send_some(piece_end - seen_.sent)) {}
        if (seen_.sent < piece_end && !seen_.refused) {
            const bool both = reading && seen_.ended == Ended::not_seen;
            pollfd ready[] = {{output(), POLLOUT, 0}, {both ? input() : -1, POLLIN, 0}};
            if (::poll(ready, 2, static_cast<int>(std::chrono::milliseconds(patience).count())) == 0)
                throw Stuck("sending");
        } else if (random_() % 8 == 0 && peer_) {
            // Not for long: perhaps the peer is not reading now.
            const auto deadline = std::chrono::steady_clock::now() + 1ms;
            while (peer_->received_ < seen_.sent && std::chrono::steady_clock::now() < deadline)
                std::this_thread::sleep_for(20us);
        }
    }
}

bool End::send_some(std::size_t most, int flags)
{
    const auto data = noise(seed_, seen_.sent, std::min<std::size_t>(most, 64 * 1024));
    const auto count = socket_ ? ::send(output(), data.data(), data.size(), MSG_NOSIGNAL | flags)
                               : ::write(output(), data.data(), data.size());
    if (count >= 0) {
        seen_.sent += static_cast<std::size_t>(count);
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno == EAGAIN)
        return false;
    seen_.refused = true;
    if (errno == ECONNRESET)
        seen_.ended = Ended::by_reset;
    return false;
}

void End::send_urgent() { send_some(1, MSG_OOB); }

void End::send_until_blocked(std::size_t most)
{
    while (seen_.sent < most && !seen_.refused)
        if (!send_some(most - seen_.sent) && !poll_for(output(), POLLOUT, calm))
            break;
    seen_.blocked_at = seen_.sent;
}

void End::send_until_refused()
{
    await("being refused", [this] {
        send_some(1);
        return seen_.refused;
    });
}

void End::take_urgent_inline()
{
    const int on = 1;
    ::setsockopt(input(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    inline_ = true;
}

bool End::read_some()
{
    // A read that begins with an urgent byte, which came after the mark was looked for, would lose it or its place.
    const bool readable = !socket_ || poll_for(input(), POLLIN, 0ms);
    int at_mark = 0;
    char byte = 0;
    if (socket_ && ::ioctl(input(), SIOCATMARK, &at_mark) == 0 && at_mark) {
        if (inline_) {
            if (seen_.marks.empty() || seen_.marks.back() != seen_.data.size())
                seen_.marks.push_back(seen_.data.size());
        } else if (::recv(input(), &byte, 1, MSG_OOB) == 1) {
            seen_.marks.push_back(seen_.data.size());
            seen_.urgent += byte;
            ++received_;
        }
    }
    if (!readable)
        return false;
    char buffer[64 * 1024];
    const auto count = ::read(input(), buffer, random_size() % sizeof buffer + 1);
    if (count > 0) {
        seen_.data.append(buffer, static_cast<std::size_t>(count));
        received_ += static_cast<std::size_t>(count);
        return true;
    }
    if (count < 0 && errno == EINTR)
        return true;
    if (count < 0 && errno == EAGAIN)
        return false;
    // A write may have come upon the reset before.
    if (seen_.ended == Ended::not_seen)
        seen_.ended = count == 0 ? Ended::in_order : Ended::by_reset;
    end_seen_ = true;
    return false;
}

void End::read(std::size_t size)
{
    while (seen_.data.size() < size && !end_seen_)
        if (!read_some() && !end_seen_)
            wait_for("reading", input(), POLLIN | POLLPRI);
}

void End::read_to_end() { read(std::string::npos); }

void End::half_close()
{
    if (line_.output)
        line_.output.reset();
    else
        ::shutdown(input(), SHUT_WR);
}

void End::close() { line_ = Line(); }

void End::reset()
{
    const linger at_once{1, 0};
    ::setsockopt(input(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

void End::pause(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

void End::wait_until_taken()
{
    await("the peer's reading", [this] { return peer_->received_ >= seen_.sent; });
}

void End::wait_until_end_seen()
{
    await("the peer's seeing the end", [this] { return peer_->end_seen_.load(); });
}

void End::wait_until_acknowledged()
{
    await("an acknowledgement", [this] {
        int left = 0;
        return ::ioctl(output(), SIOCOUTQ, &left) != 0 || left == 0;
    });
}

void End::wait_for_signal()
{
    await("the peer's signal", [this] { return peer_->signalled_.load(); });
}

void End::wait_readable() { wait_for("something to read", input(), POLLIN); }
void End::wait_urgent() { wait_for("urgent data", input(), POLLPRI); }
void End::wait_gone() { wait_for("a reset", input(), 0); }

void End::await(const char* what, const std::function<bool()>& condition) const
{
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline)
            throw Stuck(what);
        std::this_thread::sleep_for(50us);
    }
}

bool End::poll_for(int fd, short events, std::chrono::milliseconds limit)
{
    pollfd ready{fd, events, 0};
    return ::poll(&ready, 1, static_cast<int>(limit.count())) != 0;
}

void End::wait_for(const char* what, int fd, short events)
{
    if (!poll_for(fd, events, patience))
        throw Stuck(what);
}

Outcome play(const Script& script, std::pair<Line, Line> lines, std::uint64_t seed)
{
    End client(std::move(lines.first), client_seed(seed)), server(std::move(lines.second), server_seed(seed));
    client.face(server);
    server.face(client);
    std::thread other([&] { run(script.server, server); });
    std::thread one([&] { run(script.client, client); });
    one.join();
    other.join();
    Outcome outcome;
    outcome.client = std::move(client.seen());
    outcome.server = std::move(server.seen());
    return outcome;
}

}  // namespace transparency
