// SPDX-License-Identifier: MIT
#include "daemon/listen.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <thread>

#include <asio/ip/tcp.hpp>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/acceptor/listen_remedy.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/system/process_stat.hpp>

#include "daemon/system.hpp"

namespace instancer::daemon {

using instancer::UniqueFd;

namespace {

instancer::ListenKind kind_of(const Address& address)
{
    if (address.kind() != Address::Kind::unix_socket)
        return instancer::ListenKind::tcp;
    return address.is_abstract() ? instancer::ListenKind::unix_abstract : instancer::ListenKind::unix_file;
}

tl::unexpected<std::string> cannot_listen(const Address& address, const std::error_code& error)
{
    const std::string remedy(instancer::listen_remedy(error, kind_of(address)));
    return wrong("cannot listen on " + address.text() + ": " + error.message() + (remedy.empty() ? "" : "; ") + remedy);
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

Parsed<Acceptors> listen_unix_on(const asio::any_io_executor& executor, const Address& address,
                                 const UnixPermissions& permissions)
{
    auto acceptor = listen_unix(executor, address.name(), permissions);
    if (!acceptor)
        return cannot_listen(address, acceptor.error().code());
    Acceptors acceptors;
    acceptors.push_back(std::move(*acceptor));
    return acceptors;
}

/// On the sockets of that name that the service manager passed.
Parsed<Acceptors> listen_on_passed(const asio::any_io_executor& executor, const Address& address,
                                   InheritedSockets& inherited)
{
    Acceptors acceptors;
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

Parsed<Acceptors> open_listeners(const asio::any_io_executor& executor, const Address& address,
                                 const UnixPermissions& permissions, InheritedSockets& inherited)
{
    switch (address.kind()) {
    case Address::Kind::tcp: return listen_tcp_on(executor, address);
    case Address::Kind::unix_socket: return listen_unix_on(executor, address, permissions);
    default: return listen_on_passed(executor, address, inherited);
    }
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

Parsed<UnixPermissions> unix_permissions_of(const ServiceSettings& service)
{
    UnixPermissions permissions(service.unix_mode);
    if (!service.unix_owner.empty()) {
        const auto owner = find_user_id(service.unix_owner);
        if (!owner)
            return wrong(owner.error());
        permissions.owner = *owner;
    }
    if (!service.unix_group.empty()) {
        const auto group = find_group(service.unix_group);
        if (!group)
            return wrong(group.error());
        permissions.group = *group;
    }
    return permissions;
}

Parsed<Acceptors> listen_on(const asio::any_io_executor& executor, const Address& address,
                            const UnixPermissions& permissions, InheritedSockets& inherited)
{
    auto& listeners = inherited.listeners();
    auto shared = listeners.share(executor, address);
    auto opened = shared ? std::move(*shared) : open_listeners(executor, address, permissions, inherited);
    if (!opened)
        return opened;
    return listeners.add(executor, address, std::move(*opened));
}

Parsed<Acceptors> listen_on_all(const asio::any_io_executor& executor, const ServiceSettings& service,
                                InheritedSockets& inherited)
{
    const auto permissions = unix_permissions_of(service);
    if (!permissions)
        return wrong(permissions.error());
    Acceptors acceptors;
    for (const auto& address : service.listen)
        if (const auto done = append(acceptors, listen_on(executor, address, *permissions, inherited)); !done)
            return wrong(done.error());
    return acceptors;
}

Parsed<void> append(Acceptors& to, Parsed<Acceptors> opened)
{
    if (!opened)
        return wrong(opened.error());
    std::move(opened->begin(), opened->end(), std::back_inserter(to));
    return {};
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
