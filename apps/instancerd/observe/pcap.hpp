// SPDX-License-Identifier: MIT
// Bytes of a session as a capture of TCP packets that tcpdump and Wireshark read. Without I/O.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <asio/ip/tcp.hpp>

namespace instancer::daemon {

/// Makes up the packets of one TCP connection: its two ends, and the sequence numbers so far. Each function appends
/// what belongs into the file to `out`.
///
/// The format is the classic one of libpcap with microseconds and link type RAW, see pcap-savefile(5); the packets
/// follow RFC 791, RFC 8200 and RFC 9293.
class PcapStream {
public:
    using Endpoint = asio::ip::tcp::endpoint;
    using Time = std::chrono::system_clock::time_point;

    enum class From { client, server };

    /// Both addresses are of one family.
    PcapStream(const Endpoint& client, const Endpoint& server) : client_{client}, server_{server} {}

    /// The header of a file.
    static void begin_file(std::string& out);

    /// That, and the handshake.
    void open(std::string& out, Time time);

    void data(std::string& out, Time time, From from, std::string_view bytes);

    /// The end of one direction.
    void finish(std::string& out, Time time, From from);

    /// The end of the connection. Where both directions have finished already it is no reset but the last
    /// acknowledgement.
    void reset(std::string& out, Time time, From from);

    bool finished(From from) const noexcept { return end(from).finished; }

    /// What the packets of so many bytes take in the file beside them; for none, what a packet without data takes.
    std::size_t overhead(std::size_t bytes) const noexcept;

private:
    struct End {
        Endpoint address;
        std::uint32_t next = 0;  ///< The sequence number of what it sends next.
        bool finished = false;
    };

    const End& end(From from) const noexcept { return from == From::client ? client_ : server_; }
    End& end(From from) noexcept { return from == From::client ? client_ : server_; }

    void packet(std::string& out, Time time, From from, std::uint8_t flags, std::string_view data) const;

    End client_, server_;
};

}  // namespace instancer::daemon
