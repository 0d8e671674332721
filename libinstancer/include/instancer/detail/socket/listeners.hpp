// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <netinet/in.h>
#include <sys/types.h>
#include <unistd.h>

#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

/// An address of /proc/net/tcp or tcp6: words of four bytes as the machine reads them, a colon, the port.
INSTANCER_DECL std::optional<asio::ip::tcp::endpoint> endpoint_of_hex(std::string_view text);

/// The sockets that a process has open, by number. False when that cannot be seen.
INSTANCER_DECL bool add_sockets_of(const std::filesystem::path& process, std::set<std::string>& sockets);

/// A listening TCP socket, as a table below /proc shows it.
class ListeningSocket {
public:
    ListeningSocket(asio::ip::tcp::endpoint where, uid_t who, std::string which)
        : endpoint(std::move(where)), uid(who), number(std::move(which))
    {
    }

    asio::ip::tcp::endpoint endpoint;
    uid_t uid;
    std::string number;
};

/// Those that the process sees.
INSTANCER_DECL std::vector<ListeningSocket> listening_sockets(const std::string& process);

/// Those that take connections to that port of the loopback addresses.
///
/// Time: reads tables of /proc: call it on a helper thread.
INSTANCER_DECL std::vector<ListeningSocket> loopback_listeners(std::uint16_t port);

/// The sockets of all processes in a control group and below it; none when one of these does not show its own.
INSTANCER_DECL std::optional<std::set<std::string>> sockets_of_group(const std::string& path);

/// Where the session that `leader` began listens for TCP connections.
///
/// Time: reads much of /proc: call it on a helper thread.
INSTANCER_DECL std::set<std::string> listening_addresses(pid_t leader);

/// The same as a part of a sentence.
INSTANCER_DECL std::string describe_listeners(pid_t leader);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/listeners.hpp>
#endif
