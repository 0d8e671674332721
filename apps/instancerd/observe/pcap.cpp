// SPDX-License-Identifier: MIT
#include "observe/pcap.hpp"

#include <algorithm>

namespace instancer::daemon {

namespace {

constexpr std::uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10;
constexpr std::size_t packet_header = 16, ipv4_header = 20, ipv6_header = 40, tcp_header = 20;
constexpr std::size_t largest_segment = 65535 - ipv4_header - tcp_header;

/// As large as it gets, so that no reader thinks that a receiver was full: nothing is acknowledged by itself.
constexpr std::string_view window_scale("\x03\x03\x0e\x00", 4);

void put16(std::string& out, std::size_t value)
{
    out += static_cast<char>(value >> 8 & 0xff);
    out += static_cast<char>(value & 0xff);
}

void put32(std::string& out, std::uint32_t value)
{
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}

/// The file header and the packet headers may have either order; ours is that of most machines.
void put32_little(std::string& out, std::uint64_t value)
{
    for (int shift = 0; shift < 32; shift += 8)
        out += static_cast<char>(value >> shift & 0xff);
}

void put_address(std::string& out, const asio::ip::address& address)
{
    const auto put = [&](const auto& bytes) { out.append(bytes.begin(), bytes.end()); };
    if (address.is_v4())
        put(address.to_v4().to_bytes());
    else
        put(address.to_v6().to_bytes());
}

/// The sum of RFC 1071.
std::uint64_t add_words(std::uint64_t sum, std::string_view bytes)
{
    const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])); };
    std::size_t i = 0;
    for (; i + 1 < bytes.size(); i += 2)
        sum += byte(i) << 8 | byte(i + 1);
    return i < bytes.size() ? sum + (byte(i) << 8) : sum;
}

std::size_t checksum(std::uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

void set16(std::string& out, std::size_t at, std::size_t value)
{
    out[at] = static_cast<char>(value >> 8);
    out[at + 1] = static_cast<char>(value & 0xff);
}

}  // namespace

void PcapStream::begin_file(std::string& out)
{
    constexpr std::uint32_t microseconds = 0xa1b2c3d4, link_type_raw = 101, snapshot_length = 262'144;
    put32_little(out, microseconds);
    put32_little(out, 2 | 4 << 16);  // version 2.4
    put32_little(out, 0);
    put32_little(out, 0);
    put32_little(out, snapshot_length);
    put32_little(out, link_type_raw);
}

void PcapStream::open(std::string& out, Time time)
{
    begin_file(out);
    packet(out, time, From::client, syn, {});
    ++client_.next;
    packet(out, time, From::server, syn | ack, {});
    ++server_.next;
    packet(out, time, From::client, ack, {});
}

void PcapStream::data(std::string& out, Time time, From from, std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto segment = bytes.substr(0, largest_segment);
        packet(out, time, from, psh | ack, segment);
        end(from).next += static_cast<std::uint32_t>(segment.size());
        bytes.remove_prefix(segment.size());
    }
}

void PcapStream::finish(std::string& out, Time time, From from)
{
    packet(out, time, from, fin | ack, {});
    ++end(from).next;
    end(from).finished = true;
}

void PcapStream::reset(std::string& out, Time time, From from)
{
    const bool in_order = client_.finished && server_.finished;
    packet(out, time, from, in_order ? ack : rst | ack, {});
}

std::size_t PcapStream::overhead(std::size_t bytes) const noexcept
{
    const auto packets = std::max<std::size_t>((bytes + largest_segment - 1) / largest_segment, 1);
    return packets * (packet_header + (client_.address.address().is_v4() ? ipv4_header : ipv6_header) + tcp_header);
}

void PcapStream::packet(std::string& out, Time time, From from, std::uint8_t flags, std::string_view data) const
{
    const auto& sender = end(from);
    const auto& receiver = end(from == From::client ? From::server : From::client);
    const bool v4 = sender.address.address().is_v4();
    const auto options = flags & syn ? window_scale : std::string_view();
    const auto tcp_size = tcp_header + options.size() + data.size();
    const auto size = (v4 ? ipv4_header : ipv6_header) + tcp_size;

    const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
    put32_little(out, static_cast<std::uint64_t>(since / 1'000'000));
    put32_little(out, static_cast<std::uint64_t>(since % 1'000'000));
    put32_little(out, size);
    put32_little(out, size);

    const auto ip = out.size();
    if (v4) {
        put16(out, 0x4500);
        put16(out, size);
        put32(out, 0x4000);  // do not fragment
        put32(out, 64 << 24 | 6 << 16);
    } else {
        put32(out, 0x60000000);
        put16(out, tcp_size);
        put16(out, 6 << 8 | 64);
    }
    const auto addresses = out.size();
    put_address(out, sender.address.address());
    put_address(out, receiver.address.address());
    const auto tcp = out.size();
    if (v4)
        set16(out, ip + 10, checksum(add_words(0, std::string_view(out).substr(ip, tcp - ip))));

    put16(out, sender.address.port());
    put16(out, receiver.address.port());
    put32(out, sender.next);
    put32(out, flags & ack ? receiver.next : 0);
    put16(out, (tcp_header + options.size()) / 4 << 12 | flags);
    put16(out, 65535);
    put32(out, 0);
    out += options;
    out += data;
    // The pseudo header: both addresses, the protocol and the length.
    const auto sum = add_words(6 + tcp_size, std::string_view(out).substr(addresses, tcp - addresses));
    set16(out, tcp + 16, checksum(add_words(sum, std::string_view(out).substr(tcp))));
}

}  // namespace instancer::daemon
