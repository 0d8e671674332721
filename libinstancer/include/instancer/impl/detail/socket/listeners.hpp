// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/listeners.hpp>

namespace instancer::detail {

INSTANCER_DECL std::optional<asio::ip::tcp::endpoint> endpoint_of_hex(std::string_view text)
{
    const auto colon = text.find(':');
    if (colon != 8 && colon != 32)
        return std::nullopt;
    std::array<std::uint32_t, 4> words{};
    for (std::size_t i = 0; i < colon / 8; ++i)
        words[i] = static_cast<std::uint32_t>(std::stoul(std::string(text.substr(8 * i, 8)), nullptr, 16));
    const auto port = static_cast<std::uint16_t>(std::stoul(std::string(text.substr(colon + 1)), nullptr, 16));
    if (colon == 8)
        return asio::ip::tcp::endpoint(asio::ip::address_v4(ntohl(words[0])), port);
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), words.data(), bytes.size());
    const asio::ip::address_v6 address(bytes);
    // Such a socket serves clients of the IPv4 address.
    if (address.is_v4_mapped())
        return asio::ip::tcp::endpoint(asio::ip::make_address_v4(asio::ip::v4_mapped, address), port);
    return asio::ip::tcp::endpoint(address, port);
}

INSTANCER_DECL bool add_sockets_of(const std::filesystem::path& process, std::set<std::string>& sockets)
{
    static constexpr std::string_view begin = "socket:[";
    std::error_code error;
    for (std::filesystem::directory_iterator at(process / "fd", error), end; !error && at != end; at.increment(error)) {
        std::error_code vanished;
        const auto target = std::filesystem::read_symlink(at->path(), vanished).string();
        if (target.starts_with(begin))
            sockets.insert(target.substr(begin.size(), target.size() - begin.size() - 1));
    }
    return !error || error == std::errc::no_such_file_or_directory;
}

INSTANCER_DECL std::vector<ListeningSocket> listening_sockets(const std::string& process)
{
    static constexpr std::string_view listening = "0A";
    std::vector<ListeningSocket> sockets;
    for (const auto* table : {"tcp", "tcp6"}) {
        std::ifstream lines("/proc/" + process + "/net/" + table);
        std::string line;
        for (std::getline(lines, line); std::getline(lines, line);) {
            std::istringstream words(line);
            std::string skipped, local, state, number;
            uid_t uid = 0;
            words >> skipped >> local >> skipped >> state >> skipped >> skipped >> skipped >> uid >> skipped >> number;
            // Those that listen come first.
            if (state != listening)
                break;
            if (const auto endpoint = endpoint_of_hex(local))
                sockets.emplace_back(*endpoint, uid, number);
        }
    }
    return sockets;
}

INSTANCER_DECL std::vector<ListeningSocket> loopback_listeners(std::uint16_t port)
{
    auto sockets = listening_sockets("self");
    std::erase_if(sockets, [port](const auto& socket) {
        const auto address = socket.endpoint.address();
        return socket.endpoint.port() != port || !(address.is_unspecified() || address.is_loopback());
    });
    return sockets;
}

INSTANCER_DECL std::optional<std::set<std::string>> sockets_of_group(const std::string& path)
{
    namespace fs = std::filesystem;
    std::set<std::string> sockets;
    std::vector<fs::path> groups = {path};
    std::error_code error;
    for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error))
        if (at->is_directory(error))
            groups.push_back(at->path());
    for (const auto& group : groups) {
        std::ifstream processes(group / "cgroup.procs");
        for (std::string pid; processes >> pid;)
            if (!add_sockets_of("/proc/" + pid, sockets))
                return std::nullopt;
    }
    return sockets;
}

INSTANCER_DECL std::set<std::string> listening_addresses(pid_t leader)
{
    std::set<std::string> sockets;
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error))
        if (const auto pid = std::atoi(at->path().filename().c_str()); pid > 0 && ::getsid(pid) == leader)
            add_sockets_of(at->path(), sockets);
    std::set<std::string> addresses;
    for (const auto& socket : listening_sockets(std::to_string(leader)))
        if (sockets.contains(socket.number))
            addresses.insert(ClientInfo::format(socket.endpoint));
    return addresses;
}

INSTANCER_DECL std::string describe_listeners(pid_t leader)
{
    std::string text;
    for (const auto& address : listening_addresses(leader))
        text += (text.empty() ? "; it listens on " : " and ") + address;
    return text.empty() ? "; it listens on no port" : text;
}

}  // namespace instancer::detail
