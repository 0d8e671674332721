// SPDX-License-Identifier: MIT
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/detail/process/port_allocator.hpp>

namespace {

using instancer::PortRange;
using instancer::UniqueFd;
using instancer::detail::PortAllocator;

sockaddr_in loopback(std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// A socket that listens on `port` of 127.0.0.1, as servers do; none when the port is in use.
UniqueFd listener(std::uint16_t port)
{
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto address = loopback(port);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 8) != 0)
        socket.reset();
    return socket;
}

/// `count` ports in a row that nobody listens on now.
PortRange free_range(std::uint16_t count)
{
    for (unsigned first = 12000 + static_cast<unsigned>(::getpid()) % 4000 / 8 * 8; first < 19000; first += 8) {
        bool all = true;
        for (unsigned port = first; port < first + count; ++port)
            all = all && listener(static_cast<std::uint16_t>(port));
        if (all)
            return PortRange(static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(first + count - 1));
    }
    FAIL("no free ports");
    return PortRange(1, 0);
}

/// An allocator that gives back in the end what it handed out.
class Ports {
public:
    explicit Ports(const std::optional<PortRange>& range) : allocator_(range) {}
    ~Ports()
    {
        for (const auto port : taken_)
            allocator_.give_back(port);
    }

    /// 0 when there is none.
    std::uint16_t take()
    {
        const auto port = allocator_.take();
        if (!port) {
            CHECK(port.error() == instancer::Errc::full);
            for (const auto* word : {"TIME_WAIT", "SO_REUSEADDR"})
                CHECK(port.error().message().find(word) != std::string::npos);
            return 0;
        }
        CHECK(taken_.insert(*port).second);
        return *port;
    }

    void give_back(std::uint16_t port)
    {
        taken_.erase(port);
        allocator_.give_back(port);
    }

    const std::set<std::uint16_t>& taken() const { return taken_; }

private:
    PortAllocator allocator_;
    std::set<std::uint16_t> taken_;
};

std::set<std::uint16_t> all_of(const PortRange& range)
{
    std::set<std::uint16_t> ports;
    for (unsigned port = range.first(); port <= range.last(); ++port)
        ports.insert(static_cast<std::uint16_t>(port));
    return ports;
}

/// Leaves a connection behind that fades away on `port`.
void leave_fading(std::uint16_t port)
{
    const auto server = listener(port);
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = loopback(port);
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    UniqueFd accepted(::accept(server.get(), nullptr, nullptr));
    REQUIRE(accepted);
    accepted.reset();  // The side that closes first keeps the port.
    char byte;
    REQUIRE(::recv(client.get(), &byte, 1, 0) == 0);
}

}  // namespace

TEST_CASE("port allocator: each port goes to one holder, until it is given back")
{
    const auto range = free_range(3);
    Ports ports(range);
    for (int i = 0; i < 3; ++i)
        ports.take();
    CHECK(ports.taken() == all_of(range));
    CHECK(ports.take() == 0);
    ports.give_back(range.first());
    CHECK(ports.take() == range.first());
}

TEST_CASE("port allocator: two of one process never hand out the same port")
{
    const auto range = free_range(4);
    Ports one(range), other(range);
    for (int i = 0; i < 2; ++i)
        CHECK(one.take() != other.take());
    CHECK(one.take() == 0);
    CHECK(other.take() == 0);
    const auto port = *other.taken().begin();
    other.give_back(port);
    CHECK(one.take() == port);
}

TEST_CASE("port allocator: several threads at a time get different ports")
{
    PortAllocator allocator(PortRange(20000, 32767));
    std::vector<std::vector<std::uint16_t>> taken(4);
    std::vector<std::thread> threads;
    for (auto& mine : taken)
        threads.emplace_back([&] {
            for (int i = 0; i < 50; ++i)
                if (const auto port = allocator.take())
                    mine.push_back(*port);
        });
    for (auto& thread : threads)
        thread.join();
    std::set<std::uint16_t> all;
    for (const auto& mine : taken)
        for (const auto port : mine) {
            CHECK(all.insert(port).second);
            allocator.give_back(port);
        }
    CHECK(all.size() == 200);
}

TEST_CASE("port allocator: a port that somebody else listens on is passed over, even if on loopback only")
{
    const auto range = free_range(3);
    auto other = listener(range.first());
    REQUIRE(other);
    Ports ports(range);
    ports.take();
    ports.take();
    CHECK(ports.taken() == all_of(PortRange(static_cast<std::uint16_t>(range.first() + 1), range.last())));
    CHECK(ports.take() == 0);
    other.reset();
    CHECK(ports.take() == range.first());
}

TEST_CASE("port allocator: a port with fading connections is the last choice")
{
    const auto range = free_range(2);
    leave_fading(range.first());
    Ports ports(range);
    CHECK(ports.take() == range.last());
    CHECK(ports.take() == range.first());
}

TEST_CASE("port allocator: without a range of its own it stays clear of outgoing connections' ports")
{
    const std::optional<PortRange> any;
    Ports ports(any);
    const auto port = ports.take();
    CHECK(port >= 1024);
    CHECK(port < 32768);
}
