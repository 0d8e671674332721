// SPDX-License-Identifier: MIT
#include <chrono>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "observe/pcap.hpp"
#include "pcap_reader.hpp"

using namespace daemon_test;
using namespace std::chrono_literals;
using instancer::daemon::PcapStream;
using From = PcapStream::From;
using Flags = std::vector<std::string>;

namespace {

const PcapStream::Time start{1'795'256'100s + 42us};  // 2026-11-21T10:15:00Z

PcapStream stream(const char* client, const char* server)
{
    return {{asio::ip::make_address(client), 5000}, {asio::ip::make_address(server), 80}};
}

}  // namespace

TEST_CASE("pcap: the first packet, byte by byte")
{
    auto packets = stream("192.0.2.1", "192.0.2.2");
    std::string file;
    packets.open(file, start);
    const unsigned char expected[] = {
        0xd4, 0xc3, 0xb2, 0xa1, 2,  0, 4,    0, 0,  0, 0,    0,    0,    0, 0,    0,    0,   0, 4, 0,
        101,  0,    0,    0,                                                                           // file
        0x24, 0x6f, 0x01, 0x6b, 42, 0, 0,    0, 44, 0, 0,    0,    44,   0, 0,    0,                   // packet
        0x45, 0,    0,    44,   0,  0, 0x40, 0, 64, 6, 0xb6, 0xc8, 192,  0, 2,    1,    192, 0, 2, 2,  // IP
        0x13, 0x88, 0,    80,   0,  0, 0,    0, 0,  0, 0,    0,    0x60, 2, 0xff, 0xff,                // TCP
    };
    const std::string bytes(std::begin(expected), std::end(expected));
    CHECK(file.substr(0, bytes.size()) == bytes);
}

TEST_CASE("pcap: a conversation that ends in order")
{
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        auto packets = v4 ? stream("127.0.0.1", "10.1.2.3") : stream("::1", "2001:db8::7");
        std::string file;
        packets.open(file, start);
        packets.data(file, start + 1ms, From::client, "question");
        packets.data(file, start + 2ms, From::server, "odd");
        CHECK_FALSE(packets.finished(From::client));
        packets.finish(file, start + 3ms, From::client);
        CHECK(packets.finished(From::client));
        packets.data(file, start + 4ms, From::server, std::string("\0\xff", 2));
        packets.finish(file, start + 5ms, From::server);
        packets.reset(file, start + 6ms, From::server);
        const Conversation read(file);
        CHECK(read.client == (v4 ? "127.0.0.1 5000" : "::1 5000"));
        CHECK(read.server == (v4 ? "10.1.2.3 80" : "2001:db8::7 80"));
        CHECK(read.from_client_bytes == "question");
        CHECK(read.from_server_bytes == std::string("odd\0\xff", 5));
        CHECK(read.flags == Flags{"> S", "< SA", "> A", "> PA", "< PA", "> FA", "< PA", "< FA", "< A"});
        CHECK(read_pcap(file).at(3).microseconds == 1'795'256'100'001'042);
    }
}

TEST_CASE("pcap: a reset, from either side")
{
    for (const auto from : {From::client, From::server}) {
        auto packets = stream("127.0.0.1", "127.0.0.1");
        std::string file;
        packets.open(file, start);
        packets.finish(file, start, From::client);
        packets.reset(file, start, from);
        CHECK(Conversation(file).flags.back() == (from == From::client ? "> RA" : "< RA"));
    }
}

TEST_CASE("pcap: what is too large for a packet takes several, and it is known before how much that is")
{
    for (const bool v4 : {true, false})
        for (const std::size_t size : {0u, 1u, 65'495u, 65'496u, 300'000u}) {
            CAPTURE(v4);
            CAPTURE(size);
            auto packets = v4 ? stream("127.0.0.1", "127.0.0.1") : stream("::1", "::1");
            std::string file, data;
            packets.open(file, start);
            for (std::size_t i = 0; i < size; ++i)
                data += static_cast<char>(i % 251);
            const auto before = file.size();
            packets.data(file, start, From::server, data);
            CHECK(file.size() - before == (size == 0 ? 0 : size + packets.overhead(size)));
            CHECK(bool(Conversation(file).from_server_bytes == data));
        }
}
