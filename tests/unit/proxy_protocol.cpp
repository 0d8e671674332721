// SPDX-License-Identifier: MIT
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/acceptor/proxy_protocol.hpp>

using namespace instancer;
using namespace std::string_literals;
using State = ProxyHeaderParser::State;

namespace {

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

asio::ip::tcp::endpoint endpoint(const char* address, std::uint16_t port)
{
    return {asio::ip::make_address(address), port};
}

std::string describe(const ProxyHeaderParser& parser)
{
    if (parser.state() == State::incomplete)
        return "incomplete";
    if (parser.state() == State::malformed)
        return "malformed: " + std::string(parser.error());
    if (!parser.client())
        return "no client";
    const auto& client = *parser.client();
    return client.to_string() + (client.local() ? " to " + ClientInfo::format(*client.local()) : "");
}

/// What the parser makes of `data`, which it must make of it however it is cut, leaving `rest` to others.
std::string parse(const std::string& data, const std::string& rest = {})
{
    ProxyHeaderParser whole;
    const auto taken = whole.feed(data + rest);
    if (whole.state() == State::complete)
        CHECK(taken == data.size());

    ProxyHeaderParser bytewise;
    std::size_t fed = 0;
    for (const char byte : data + rest)
        fed += bytewise.feed(std::string_view(&byte, 1));
    CHECK(describe(bytewise) == describe(whole));
    CHECK(fed == taken);
    return describe(whole);
}

std::string v2(int command, int family, const std::string& payload)
{
    return signature + static_cast<char>(command) + static_cast<char>(family) + static_cast<char>(payload.size() >> 8) +
           static_cast<char>(payload.size() & 0xff) + payload;
}

const std::string addresses_v4 = "\xc0\x00\x02\x01\x0a\x00\x00\x01\xdb\x94\x01\xbb"s;
const std::string source_v6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + '\1';
const std::string target_v6 = std::string(15, '\0') + '\1';

}  // namespace

TEST_CASE("PROXY version 1: what its specification shows")
{
    CHECK(parse("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "GET / HTTP/1.1\r\n") ==
          "192.168.0.1:56324 to 192.168.0.11:443");
    CHECK(parse("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") ==
          "255.255.255.255:65535 to 255.255.255.255:65535");
    CHECK(parse("PROXY TCP6 2001:DB8::1 ::1 0 1\r\n", "\r\n") == "[2001:db8::1]:0 to [::1]:1");
    const std::string widest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    CHECK(parse("PROXY TCP6 " + widest + " " + widest + " 65535 65535\r\n") ==
          "[" + widest + "]:65535 to [" + widest + "]:65535");
    CHECK(parse("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n") == "192.0.2.1:1 to [::1]:2");
    CHECK(parse("PROXY UNKNOWN\r\n", "PROXY UNKNOWN\r\n") == "no client");
    CHECK(parse("PROXY UNKNOWN " + widest + " " + widest + " 65535 65535\r\n") == "no client");
    CHECK(parse("PROXY UNKNOWN what the receiver must ignore\r\n") == "no client");
}

TEST_CASE("PROXY version 1: anything else is malformed, as soon as that is certain")
{
    for (const auto* text : {"G", "PROXX", "proxy TCP4", "\r\nPROXY", "PROXY\tTCP4", " PROXY "})
        CHECK(parse(text) == "malformed: there is no PROXY header");
    for (const auto* text : {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx",
                             "PROXY UNKNOWN\r\r\n", "PROXY UNKNOWN \n\r\n"})
        CHECK(parse(text) == "malformed: its line does not end with carriage return and line feed");
    for (const auto* text :
         {"PROXY \r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
          "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UNKNOWNS\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"})
        CHECK(parse(text) == "malformed: its protocol is none of TCP4, TCP6 and UNKNOWN");
    for (const auto* text :
         {"PROXY TCP4\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
          "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"})
        CHECK(parse(text) == "malformed: it has not two addresses and two ports");
    for (const auto* address : {"1.2.3", "1.2.3.256", "01.2.3.4", "::1", "1.2.3.4/8", "host", "1.2.3.4.5"})
        CHECK(parse("PROXY TCP4 " + std::string(address) + " 1.2.3.4 1 2\r\n") ==
              "malformed: an address of it is no IPv4 address");
    CHECK(parse("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"s) == "malformed: an address of it is no IPv4 address");
    for (const auto* address : {"1.2.3.4", ":::1", "1::2::3", "fe80::1%lo", "[::1]", "12345::", "1:2:3:4:5:6:7"})
        CHECK(parse("PROXY TCP6 ::1 " + std::string(address) + " 1 2\r\n") ==
              "malformed: an address of it is no IPv6 address");
    for (const auto* port : {"65536", "-1", "+1", "01", "00", "1x", "99999999999", "0x10"})
        CHECK(parse("PROXY TCP4 1.2.3.4 1.2.3.4 1 " + std::string(port) + "\r\n") ==
              "malformed: a port of it is no number from 0 to 65535");
    CHECK(parse("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n") == "no client");
    CHECK(parse("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n") == "malformed: its line is longer than 107 bytes");
    CHECK(parse("PROXY UNKNOWN" + std::string(94, ' ')) == "malformed: its line is longer than 107 bytes");
}

TEST_CASE("PROXY version 1: cut off anywhere, it is incomplete")
{
    const std::string line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    for (std::size_t size = 0; size < line.size(); ++size)
        CHECK(parse(line.substr(0, size)) == "incomplete");
}

TEST_CASE("PROXY version 2: addresses, byte by byte")
{
    CHECK(parse(v2(0x21, 0x11, addresses_v4), "\r\n") == "192.0.2.1:56212 to 10.0.0.1:443");
    CHECK(parse(v2(0x21, 0x12, addresses_v4)) == "192.0.2.1:56212 to 10.0.0.1:443");
    CHECK(parse(v2(0x21, 0x21, source_v6 + target_v6 + "\x00\x01\xff\xff"s)) == "[2001:db8::1]:1 to [::1]:65535");
    std::string path = "/run/web.sock";
    path.resize(108, '\0');
    CHECK(parse(v2(0x21, 0x31, std::string(108, '\0') + path)) == "unix:/run/web.sock");
    CHECK(parse(v2(0x21, 0x31, std::string(108, '\0') + std::string(108, 'p'))) == "unix:" + std::string(108, 'p'));
    CHECK(parse(v2(0x21, 0x31, std::string(216, '\0'))) == "unknown");
}

TEST_CASE("PROXY version 2: who names no address, and what is skipped")
{
    CHECK(parse(v2(0x20, 0x00, ""), "x") == "no client");
    CHECK(parse(v2(0x20, 0x11, addresses_v4)) == "no client");
    CHECK(parse(v2(0x20, 0xff, "what follows LOCAL is discarded")) == "no client");
    CHECK(parse(v2(0x21, 0x00, "")) == "no client");
    CHECK(parse(v2(0x21, 0x00, addresses_v4)) == "no client");
    CHECK(parse(v2(0x21, 0x10, addresses_v4)) == "no client");
    CHECK(parse(v2(0x21, 0x01, addresses_v4)) == "no client");
    const auto checksum = "\x03\x00\x04\xde\xad\xbe\xef"s;
    CHECK(parse(v2(0x21, 0x11, addresses_v4 + checksum), "GET") == "192.0.2.1:56212 to 10.0.0.1:443");
    CHECK(parse(v2(0x21, 0x11, addresses_v4 + std::string(4096 - 12, 'x')), "x") == "192.0.2.1:56212 to 10.0.0.1:443");
}

TEST_CASE("PROXY version 2: anything else is malformed")
{
    auto wrong_signature = v2(0x21, 0x11, addresses_v4);
    wrong_signature[11] = '\r';
    CHECK(parse(wrong_signature) == "malformed: there is no PROXY header");
    CHECK(parse(v2(0x11, 0x11, addresses_v4)) == "malformed: its version is not 2");
    CHECK(parse(v2(0x31, 0x11, addresses_v4)) == "malformed: its version is not 2");
    CHECK(parse(v2(0x22, 0x11, addresses_v4)) == "malformed: its command is neither LOCAL nor PROXY");
    CHECK(parse(v2(0x21, 0x41, addresses_v4)) == "malformed: its address family or protocol is unknown");
    CHECK(parse(v2(0x21, 0x13, addresses_v4)) == "malformed: its address family or protocol is unknown");
    for (const int family : {0x11, 0x12, 0x21, 0x22, 0x31, 0x32})
        CHECK(parse(v2(0x21, family, addresses_v4.substr(1))) == "malformed: it is too short for its addresses");
    CHECK(parse(v2(0x21, 0x21, std::string(35, '\0'))) == "malformed: it is too short for its addresses");
    CHECK(parse(v2(0x21, 0x31, std::string(215, '\0'))) == "malformed: it is too short for its addresses");
    CHECK(parse(v2(0x21, 0x11, std::string(4097, '\0'))) == "malformed: it is longer than 4096 bytes");
    CHECK(parse(v2(0x20, 0x00, std::string(65535, '\0'))) == "malformed: it is longer than 4096 bytes");
}

TEST_CASE("PROXY version 2: cut off anywhere, it is incomplete")
{
    const auto header = v2(0x21, 0x11, addresses_v4 + "\x04\x00\x00"s);
    for (std::size_t size = 0; size < header.size(); ++size)
        CHECK(parse(header.substr(0, size)) == "incomplete");
}

TEST_CASE("PROXY: headers that are sent, byte by byte")
{
    const ClientInfo v4(endpoint("192.0.2.1", 56212), endpoint("10.0.0.1", 443));
    const ClientInfo v6(endpoint("2001:db8::1", 1), endpoint("::1", 65535));
    CHECK(encode_proxy_header(ProxyVersion::v1, v4) == "PROXY TCP4 192.0.2.1 10.0.0.1 56212 443\r\n");
    CHECK(encode_proxy_header(ProxyVersion::v1, v6) == "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
    CHECK(encode_proxy_header(ProxyVersion::v2, v4) == v2(0x21, 0x11, addresses_v4));
    CHECK(encode_proxy_header(ProxyVersion::v2, v6) == v2(0x21, 0x21, source_v6 + target_v6 + "\0\1\xff\xff"s));
    const ClientInfo nobody;
    CHECK(encode_proxy_header(ProxyVersion::v1, nobody) == "PROXY UNKNOWN\r\n");
    CHECK(encode_proxy_header(ProxyVersion::v2, nobody) == v2(0x20, 0x00, ""));
    const ClientInfo user(1000, "/run/web.sock");
    CHECK(encode_proxy_header(ProxyVersion::v1, user) == "PROXY UNKNOWN\r\n");
    CHECK(parse(encode_proxy_header(ProxyVersion::v2, user)) == "unix:/run/web.sock");
}

TEST_CASE("PROXY: what is sent is what is read")
{
    const ClientInfo mixed(endpoint("192.0.2.1", 1), endpoint("2001:db8::1", 2));
    const ClientInfo linked(endpoint("fe80::1%7", 1), endpoint("fe80::2%7", 2));
    for (const auto version : {ProxyVersion::v1, ProxyVersion::v2}) {
        CHECK(parse(encode_proxy_header(version, mixed)) == "192.0.2.1:1 to [2001:db8::1]:2");
        CHECK(parse(encode_proxy_header(version, linked)) == "[fe80::1]:1 to [fe80::2]:2");
    }
    std::mt19937 random(1);
    const auto any_endpoint = [&](bool is_v4) {
        asio::ip::address_v6::bytes_type bytes;
        for (auto& byte : bytes)
            byte = static_cast<unsigned char>(random() % 3 == 0 ? 0 : random());
        const auto address = is_v4 ? asio::ip::address(asio::ip::address_v4(static_cast<std::uint32_t>(random())))
                                   : asio::ip::address(asio::ip::address_v6(bytes));
        return asio::ip::tcp::endpoint(address, static_cast<std::uint16_t>(random()));
    };
    for (int i = 0; i < 2000; ++i) {
        const bool is_v4 = random() % 2 == 0;
        const ClientInfo client(any_endpoint(is_v4), any_endpoint(is_v4));
        const auto wanted = client.to_string() + " to " + ClientInfo::format(*client.local());
        CHECK(parse(encode_proxy_header(ProxyVersion::v1, client), "x") == wanted);
        CHECK(parse(encode_proxy_header(ProxyVersion::v2, client), "x") == wanted);
    }
}
