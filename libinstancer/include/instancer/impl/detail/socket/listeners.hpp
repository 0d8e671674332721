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
    return asio::ip::tcp::endpoint(asio::ip::address_v6(bytes), port);
}

INSTANCER_DECL void add_sockets_of(const std::filesystem::path& process, std::set<std::string>& sockets)
{
    static constexpr std::string_view begin = "socket:[";
    std::error_code error;
    for (std::filesystem::directory_iterator at(process / "fd", error), end; !error && at != end; at.increment(error)) {
        std::error_code vanished;
        const auto target = std::filesystem::read_symlink(at->path(), vanished).string();
        if (target.starts_with(begin))
            sockets.insert(target.substr(begin.size(), target.size() - begin.size() - 1));
    }
}

INSTANCER_DECL std::set<std::string> listening_addresses(pid_t leader)
{
    std::set<std::string> sockets;
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error))
        if (const auto pid = std::atoi(at->path().filename().c_str()); pid > 0 && ::getsid(pid) == leader)
            add_sockets_of(at->path(), sockets);
    std::set<std::string> addresses;
    for (const auto* table : {"tcp", "tcp6"}) {
        std::ifstream lines("/proc/" + std::to_string(leader) + "/net/" + table);
        std::string line;
        for (std::getline(lines, line); std::getline(lines, line);) {
            std::istringstream words(line);
            std::string number, local, remote, state, skipped, socket;
            words >> number >> local >> remote >> state >> skipped >> skipped >> skipped >> skipped >> skipped >>
                socket;
            static constexpr std::string_view listening = "0A";
            const auto endpoint =
                state == listening && sockets.contains(socket) ? endpoint_of_hex(local) : std::nullopt;
            if (endpoint)
                addresses.insert(ClientInfo::format(*endpoint));
        }
    }
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
