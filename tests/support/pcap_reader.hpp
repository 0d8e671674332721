// SPDX-License-Identifier: MIT
// Reads a capture the way any reader would: it knows nothing of how ours are made.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>

namespace daemon_test {

inline std::string contents_of(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

class Packet {
public:
    std::string source, target;  ///< Address and port, as in `127.0.0.1 80`.
    std::string flags;           ///< Of `SFRPA`, in this order.
    std::uint32_t sequence = 0, acknowledged = 0;
    std::string data;
    std::uint64_t microseconds = 0;
};

/// All packets of a capture of TCP over IP. Lengths and checksums are verified.
inline std::vector<Packet> read_pcap(std::string_view file)
{
    const auto byte = [](std::string_view s, std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(s.at(i)));
    };
    const auto big = [&](std::string_view s, std::size_t at, int bytes) {
        std::uint32_t value = 0;
        for (int i = 0; i < bytes; ++i)
            value = value << 8 | byte(s, at + static_cast<std::size_t>(i));
        return value;
    };
    const auto little = [&](std::string_view s, std::size_t at) {
        return byte(s, at) | byte(s, at + 1) << 8 | byte(s, at + 2) << 16 | byte(s, at + 3) << 24;
    };
    // Right when the sum with the checksum in it is all ones.
    const auto sum = [&](const std::string& words) {
        std::uint32_t total = 0;
        for (std::size_t i = 0; i < words.size(); i += 2) {
            total += byte(words, i) << 8 | (i + 1 < words.size() ? byte(words, i + 1) : 0);
            total = (total & 0xffff) + (total >> 16);
        }
        return total;
    };
    REQUIRE(file.size() >= 24);
    REQUIRE(little(file, 0) == 0xa1b2c3d4);
    REQUIRE(little(file, 4) == 0x00040002);
    REQUIRE(little(file, 20) == 101);
    file.remove_prefix(24);

    std::vector<Packet> packets;
    while (!file.empty()) {
        REQUIRE(file.size() >= 16);
        const auto size = little(file, 8);
        REQUIRE(size == little(file, 12));
        REQUIRE(file.size() >= 16 + size);
        Packet packet;
        packet.microseconds = std::uint64_t{little(file, 0)} * 1'000'000 + little(file, 4);
        const auto ip = file.substr(16, size);
        file.remove_prefix(16 + size);

        const bool v4 = byte(ip, 0) >> 4 == 4;
        const std::size_t header = v4 ? 20 : 40, length = v4 ? 4 : 16, at = v4 ? 12 : 8;
        REQUIRE(byte(ip, 0) == (v4 ? 0x45 : 0x60));
        REQUIRE(big(ip, v4 ? 2 : 4, 2) == (v4 ? ip.size() : ip.size() - 40));
        REQUIRE(byte(ip, v4 ? 9 : 6) == 6);
        if (v4)
            REQUIRE(sum(std::string(ip.substr(0, 20))) == 0xffff);
        const auto tcp = ip.substr(header);
        const auto addresses = std::string(ip.substr(at, 2 * length));
        const auto tcp_size = static_cast<char>(tcp.size() & 0xff);
        REQUIRE(sum(addresses + std::string(1, '\0') + '\6' + static_cast<char>(tcp.size() >> 8) + tcp_size +
                    std::string(tcp)) == 0xffff);
        const auto end = [&](std::size_t which) {
            std::array<char, INET6_ADDRSTRLEN> text{};
            ::inet_ntop(v4 ? AF_INET : AF_INET6, addresses.data() + which * length, text.data(), text.size());
            return std::string(text.data()) + " " + std::to_string(big(tcp, 2 * which, 2));
        };
        packet.source = end(0);
        packet.target = end(1);
        packet.sequence = big(tcp, 4, 4);
        packet.acknowledged = big(tcp, 8, 4);
        const std::pair<char, unsigned> names[] = {{'S', 2}, {'F', 1}, {'R', 4}, {'P', 8}, {'A', 16}};
        for (const auto& [name, bit] : names)
            if (byte(tcp, 13) & bit)
                packet.flags += name;
        packet.data = tcp.substr(byte(tcp, 12) / 16 * 4);
        packets.push_back(std::move(packet));
    }
    return packets;
}

/// One connection put together again: what "follow stream" shows, and how it ended.
class Conversation {
public:
    explicit Conversation(std::string_view file)
    {
        const auto packets = read_pcap(file);
        REQUIRE(packets.size() >= 3);
        client = packets[0].source;
        server = packets[0].target;
        std::map<std::string, std::uint32_t> next;
        for (const auto& packet : packets) {
            const bool from_client = packet.source == client;
            REQUIRE(packet.source == (from_client ? client : server));
            REQUIRE(packet.target == (from_client ? server : client));
            if (flags.size() >= 2) {
                REQUIRE(packet.sequence == next[packet.source]);
                REQUIRE(packet.acknowledged == next[packet.target]);
            }
            const bool counts = packet.flags.find_first_of("SF") != std::string::npos;
            next[packet.source] = packet.sequence + static_cast<std::uint32_t>(packet.data.size()) + counts;
            (from_client ? from_client_bytes : from_server_bytes) += packet.data;
            flags.push_back((from_client ? "> " : "< ") + packet.flags);
        }
        REQUIRE(flags[0] == "> S");
        REQUIRE(flags[1] == "< SA");
        REQUIRE(flags[2] == "> A");
    }

    std::size_t count(const std::string& packet) const
    {
        return static_cast<std::size_t>(std::count(flags.begin(), flags.end(), packet));
    }

    std::string client, server;
    std::vector<std::string> flags;  ///< `> ` or `< ` and the flags of each packet.
    std::string from_client_bytes, from_server_bytes;
};

}  // namespace daemon_test
