// SPDX-License-Identifier: MIT
#include <csignal>
#include <set>
#include <string>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/detail/socket/listeners.hpp>
#include <instancer/unique_fd.hpp>

using instancer::UniqueFd;
using namespace instancer::detail;

namespace {

/// A listening socket on a loopback address, and how it is written.
class LoopbackListener {
public:
    explicit LoopbackListener(int family) : socket_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in6 address{};
        auto* const v4 = reinterpret_cast<sockaddr_in*>(&address);
        const bool is_v4 = family == AF_INET;
        socklen_t size = is_v4 ? sizeof(sockaddr_in) : sizeof address;
        address.sin6_family = static_cast<sa_family_t>(family);
        if (is_v4)
            v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
            address.sin6_addr = in6addr_loopback;
        auto* const name = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(socket_.get(), name, size) == 0);
        REQUIRE(::listen(socket_.get(), 1) == 0);
        REQUIRE(::getsockname(socket_.get(), name, &size) == 0);
        text = (is_v4 ? "127.0.0.1:" : "[::1]:") + std::to_string(ntohs(address.sin6_port));
    }

    std::string text;

private:
    UniqueFd socket_;
};

/// A child in a session of its own that has what we have open; killed when it goes out of scope.
class Leader {
public:
    Leader() : pid_(::fork())
    {
        if (pid_ == 0) {
            ::setsid();
            ::close(ready_.second.get());
            for (;;)
                ::pause();
        }
        ready_.second.reset();
        char byte;
        REQUIRE(::read(ready_.first.get(), &byte, 1) == 0);
    }
    ~Leader()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    pid_t pid() const noexcept { return pid_; }

private:
    static std::pair<UniqueFd, UniqueFd> make_pipe()
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        return {UniqueFd(ends[0]), UniqueFd(ends[1])};
    }

    std::pair<UniqueFd, UniqueFd> ready_ = make_pipe();
    pid_t pid_;
};

}  // namespace

TEST_CASE("listeners: where a session listens, by IPv4 and IPv6, and nothing that another one has")
{
    const LoopbackListener v4(AF_INET), v6(AF_INET6);
    const Leader leader;
    CHECK(listening_addresses(leader.pid()) == std::set{v4.text, v6.text});
    CHECK(describe_listeners(leader.pid()) == "; it listens on " + v4.text + " and " + v6.text);
}

TEST_CASE("listeners: one that listens nowhere, and one that is gone")
{
    const Leader leader;
    const LoopbackListener later(AF_INET);
    CHECK(describe_listeners(leader.pid()) == "; it listens on no port");
    CHECK(listening_addresses(1 << 30).empty());
}

TEST_CASE("a listener on an IPv4 address that is written in IPv6 is one on the loopback address")
{
    const UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr) == 1);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    REQUIRE(::bind(socket.get(), name, size) == 0);
    REQUIRE(::listen(socket.get(), 1) == 0);
    REQUIRE(::getsockname(socket.get(), name, &size) == 0);
    CHECK(loopback_listeners(ntohs(address.sin6_port)).size() == 1);
}
