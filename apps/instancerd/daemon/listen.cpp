// SPDX-License-Identifier: MIT
#include "daemon/listen.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <asio/ip/tcp.hpp>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/system/process_stat.hpp>

namespace instancer::daemon {

using instancer::UniqueFd;

namespace {

std::string remedy(const std::error_code& error, const Address& address)
{
    const bool is_unix = address.kind() == Address::Kind::unix_socket;
    if (error.value() == EADDRINUSE)
        return is_unix ? "; somebody listens there already, or the path is another kind of file: stop or remove that, "
                         "or choose another path"
                       : "; stop who listens there already (ss -ltnp shows it), or choose another port";
    if (error.value() == EACCES)
        return is_unix ? "; choose a directory that you may write to"
                       : "; ports below 1024 need root or CAP_NET_BIND_SERVICE, so choose a higher one";
    if (error.value() == EADDRNOTAVAIL)
        return "; this machine has no such address (ip address shows those it has)";
    return "";
}

tl::unexpected<std::string> cannot_listen(const Address& address, const std::error_code& error)
{
    return wrong("cannot listen on " + address.text() + ": " + error.message() + remedy(error, address));
}

/// Every address that the host's name stands for.
Parsed<std::vector<asio::ip::tcp::endpoint>> resolve(const Address& address)
{
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const auto port = std::to_string(address.port());
    if (const int error = ::getaddrinfo(address.name().c_str(), port.c_str(), &hints, &found); error != 0)
        return wrong("cannot listen on " + address.text() + ": " + ::gai_strerror(error) +
                     "; write an address of this machine, or :" + port + " for all of them");
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
    std::vector<asio::ip::tcp::endpoint> endpoints;
    for (const auto* entry = found; entry; entry = entry->ai_next) {
        asio::ip::tcp::endpoint endpoint;
        std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
        endpoint.resize(entry->ai_addrlen);
        endpoints.push_back(endpoint);
    }
    return endpoints;
}

bool is_no_such_address(const std::error_code& error)
{
    return error.value() == EADDRNOTAVAIL || error.value() == EAFNOSUPPORT;
}

Parsed<Acceptors> listen_tcp_on(const asio::any_io_executor& executor, const Address& address)
{
    Acceptors acceptors;
    if (address.name().empty()) {
        auto acceptor = listen_tcp(executor, {asio::ip::tcp::v6(), address.port()}, true);
        if (!acceptor && is_no_such_address(acceptor.error().code()))
            acceptor = listen_tcp(executor, {asio::ip::tcp::v4(), address.port()});
        if (!acceptor)
            return cannot_listen(address, acceptor.error().code());
        acceptors.push_back(std::move(*acceptor));
        return acceptors;
    }
    const auto endpoints = resolve(address);
    if (!endpoints)
        return wrong(endpoints.error());
    std::error_code missing;
    for (const auto& endpoint : *endpoints) {
        auto acceptor = listen_tcp(executor, endpoint);
        if (acceptor)
            acceptors.push_back(std::move(*acceptor));
        else if (is_no_such_address(acceptor.error().code()))
            missing = acceptor.error().code();  // `localhost` where there is no IPv6, say.
        else
            return cannot_listen(address, acceptor.error().code());
    }
    if (acceptors.empty())
        return cannot_listen(address, missing);
    return acceptors;
}

/// Who listens on a Unix socket; 0 when nobody does.
pid_t listening_process(const sockaddr* address, socklen_t size)
{
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::connect(probe.get(), address, size) != 0 ||
        ::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return 0;
    return credentials.pid;
}

bool is_running(pid_t pid)
{
    const auto state = process_stat(std::to_string(pid), 3);
    return !state.empty() && state != "Z" && state != "X";
}

}  // namespace

InheritedSockets::InheritedSockets()
{
    constexpr int first = 3;
    const char* pid = std::getenv("LISTEN_PID");
    const char* count = std::getenv("LISTEN_FDS");
    const char* names = std::getenv("LISTEN_FDNAMES");
    const auto number = count ? parse_count(count, 0, 1000) : 0;
    if (pid && number && pid == std::to_string(::getpid())) {
        const auto list = split(names ? names : "", ':');
        for (std::size_t i = 0; i < *number; ++i) {
            const int fd = first + static_cast<int>(i);
            ::fcntl(fd, F_SETFD, FD_CLOEXEC);
            sockets_[names && i < list.size() ? list[i] : "unknown"].emplace_back(fd);
        }
    }
    for (const auto variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(variable);
}

std::vector<UniqueFd> InheritedSockets::take(const std::string& name)
{
    const auto found = sockets_.find(name);
    return found == sockets_.end() ? std::vector<UniqueFd>() : std::move(found->second);
}

std::vector<std::string> InheritedSockets::left() const
{
    std::vector<std::string> names;
    for (const auto& [name, sockets] : sockets_)
        if (!sockets.empty())
            names.push_back(name);
    return names;
}

Parsed<Acceptors> listen_on(const asio::any_io_executor& executor, const Address& address, mode_t unix_mode,
                            InheritedSockets& inherited)
{
    if (address.kind() == Address::Kind::tcp)
        return listen_tcp_on(executor, address);
    Acceptors acceptors;
    if (address.kind() == Address::Kind::unix_socket) {
        auto acceptor = listen_unix(executor, address.name(), unix_mode);
        if (!acceptor)
            return cannot_listen(address, acceptor.error().code());
        acceptors.push_back(std::move(*acceptor));
        return acceptors;
    }
    for (auto& socket : inherited.take(address.name())) {
        auto acceptor = adopt_listener(executor, std::move(socket));
        if (!acceptor)
            return wrong("cannot listen on " + address.text() +
                         ": it is no listening stream socket; write ListenStream= in the socket unit");
        acceptors.push_back(std::move(*acceptor));
    }
    if (acceptors.empty())
        return wrong("cannot listen on " + address.text() +
                     ": no socket of that name was passed; start it from a "
                     "systemd socket unit with FileDescriptorName=" +
                     address.name());
    return acceptors;
}

Parsed<UniqueFd> claim_name(const std::string& name)
{
    using namespace std::chrono_literals;
    // An abstract Unix socket: it goes with the process, however that ends.
    const auto path = "instancer/" + name;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, path.data(), path.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
    const auto* socket_name = reinterpret_cast<const sockaddr*>(&address);

    // A helper process of a daemon that was killed may hold the socket for a moment longer.
    for (int attempt = 0; attempt < 100; ++attempt) {
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (socket && ::bind(socket.get(), socket_name, size) == 0 && ::listen(socket.get(), 1) == 0)
            return socket;
        if (errno != EADDRINUSE)
            return wrong("cannot claim the name " + name + ": " + std::strerror(errno));
        const pid_t holder = listening_process(socket_name, size);
        if (holder > 0 && is_running(holder))
            return wrong("an instancerd named " + name + " runs already, process " + std::to_string(holder) +
                         "; stop it, or give this one another --name");
        std::this_thread::sleep_for(20ms);
    }
    return wrong("the name " + name + " is taken; give this instancerd another --name");
}

}  // namespace instancer::daemon
