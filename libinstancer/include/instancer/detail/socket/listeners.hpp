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

/// The sockets that a process has open, by number.
INSTANCER_DECL void add_sockets_of(const std::filesystem::path& process, std::set<std::string>& sockets);

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
