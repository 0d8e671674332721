// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "modes/tunnel/tunnel_settings.hpp"
#include "options/values.hpp"

using namespace instancer::daemon;
using namespace std::chrono_literals;

namespace {

template <class T>
bool says(const Parsed<T>& parsed, const std::string& part)
{
    CAPTURE(part);
    if (!parsed)
        CAPTURE(parsed.error());
    return !parsed && parsed.error().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("durations read with their unit")
{
    CHECK(parse_duration("300ms") == 300ms);
    CHECK(parse_duration("20s") == 20s);
    CHECK(parse_duration("10m") == 10min);
    CHECK(parse_duration("2h") == 2h);
    CHECK(parse_duration("0") == 0ms);
    CHECK(parse_duration("0s") == 0ms);
    CHECK(says(parse_duration("20"), "write 20s"));
    CHECK(says(parse_duration("20000000000000000000000"), "no unit"));
    for (const auto text : {"", "s", "-5s", "1.5s", "5 s", "5S", "5d", "5sec", "5s "})
        CHECK(says(parse_duration(text), "write 300ms, 20s, 10m or 2h"));
    CHECK(says(parse_duration("99999999999h"), "0 for no limit"));
    CHECK(says(parse_duration("18446744073709551615ms"), "longer than ten years"));
}

TEST_CASE("sizes count in powers of 1024")
{
    CHECK(parse_size("512") == 512u);
    CHECK(parse_size("64k") == 64u * 1024);
    CHECK(parse_size("64m") == 64u * 1024 * 1024);
    CHECK(parse_size("2g") == std::uint64_t{2} << 30);
    CHECK(parse_size("0") == 0u);
    for (const auto text : {"", "m", "64mb", "64M", "-1", "1.5g", "64 m"})
        CHECK(says(parse_size(text), "write 512k, 64m or 2g"));
    CHECK(says(parse_size("99999999999g"), "too large"));
}

TEST_CASE("counts stay between their bounds")
{
    CHECK(parse_count("7", 1, 9) == 7u);
    for (const auto text : {"0", "10", "", "x", "7x", "-1", "+7", "7.0", "99999999999999999999"})
        CHECK(says(parse_count(text, 1, 9), "from 1 to 9"));
}

TEST_CASE("processors may be a fraction")
{
    CHECK(parse_cpus("0.5") == 0.5);
    CHECK(parse_cpus("2") == 2.0);
    for (const auto text : {"", "-1", "nan", "inf", "1e9", "half", "1,5"})
        CHECK(says(parse_cpus(text), "write 0.5 or 2"));
}

TEST_CASE("hexadecimal digits have an exact number")
{
    CHECK(parse_hex("00fF", 4) == std::string("\0\xff", 2));
    for (const auto text : {"", "0", "000", "00000", "00g0", "0x00"})
        CHECK(says(parse_hex(text, 4), "4 hexadecimal digits"));
}

TEST_CASE("bytes that cannot be typed are written as in C")
{
    CHECK(parse_escaped("PING\\r\\n") == "PING\r\n");
    CHECK(parse_escaped("\\x00\\xfF\\t\\\\\\0a") == std::string("\0\xff\t\\\0a", 6));
    CHECK(parse_escaped("\\x414") == "A4");
    CHECK(parse_escaped("") == "");
    for (const auto text : {"\\", "a\\", "\\q", "\\x", "\\x4", "\\xg0", "\\ n"})
        CHECK(says(parse_escaped(text), "write \\r, \\n, \\t, \\0, \\\\ or \\xHH"));
}

TEST_CASE("port ranges")
{
    CHECK(parse_ports("8000-8009")->size() == 10);
    CHECK(parse_ports("8000")->size() == 1);
    CHECK(says(parse_ports("8009-8000"), "write 8000-8009"));
    for (const auto text : {"", "-", "8000-", "-8000", "0-5", "65530-65536", "a-b"})
        CHECK(says(parse_ports(text), "write 8000-8009"));
}

TEST_CASE("addresses to listen on")
{
    const auto text = [](const char* written) { return parse_address(written)->text(); };
    CHECK(text("127.0.0.1:1337") == "127.0.0.1:1337");
    CHECK(text("localhost:80") == "localhost:80");
    CHECK(text("[::1]:1337") == "[::1]:1337");
    CHECK(text(":0") == ":0");
    CHECK(text("unix:/run/heap.sock") == "unix:/run/heap.sock");
    CHECK(text("unix:relative:with:colons") == "unix:relative:with:colons");
    CHECK(text("fd:web") == "fd:web");
    CHECK(parse_address(":80")->name().empty());

    CHECK(says(parse_address("1337"), "write :1337"));
    CHECK(says(parse_address("localhost"), "has no port"));
    CHECK(says(parse_address("localhost:http"), "is not a port"));
    CHECK(says(parse_address(":65536"), "is not a port"));
    CHECK(says(parse_address("::1:80"), "in brackets"));
    CHECK(says(parse_address("[127.0.0.1]:80"), "no IPv6 address in its brackets"));
    CHECK(says(parse_address("[localhost]:80"), "no IPv6 address in its brackets"));
    CHECK(says(parse_address("[a]b]:80"), "no IPv6 address in its brackets"));
    CHECK(says(parse_address("unix:"), "write unix:/path"));
    CHECK(says(parse_address("unix:@"), "unix:@name for an abstract one"));
    CHECK(parse_address("unix:@name")->is_abstract());
    CHECK(parse_address("unix:./@name")->has_file());
    CHECK_FALSE(parse_address(":80")->has_file());
    CHECK(says(parse_address("fd:"), "write fd:NAME"));
    CHECK(text("[fe80::1%eth0]:80") == "[fe80::1%eth0]:80");
    CHECK(says(parse_address("[fe80::1]:80"), "names no interface; write [fe80::1%eth0]:80"));
}

TEST_CASE("a range of ports is an address for each of them")
{
    const auto texts = [](const char* written) {
        std::vector<std::string> all;
        const auto addresses = parse_addresses(written).value();
        for (const auto& address : addresses)
            all.push_back(address.text());
        return all;
    };
    CHECK(texts("[::1]:20000-20002") == std::vector<std::string>{"[::1]:20000", "[::1]:20001", "[::1]:20002"});
    CHECK(texts(":80") == std::vector<std::string>{":80"});
    CHECK(texts("fd:web-1") == std::vector<std::string>{"fd:web-1"});
    CHECK(texts("unix:/run/a:1-2") == std::vector<std::string>{"unix:/run/a:1-2"});
    CHECK(parse_addresses(":1000-1999")->size() == 1000);
    CHECK(says(parse_addresses(":1000-2000"), "has 1001 ports; write 1000 at most"));
    CHECK(says(parse_addresses(":9-8"), "runs backwards"));
    CHECK(says(parse_addresses(":0-8"), "is not a range of ports"));
    CHECK(says(parse_addresses("::1:8-9"), "in brackets"));
    CHECK(says(parse_addresses("80"), "has no colon"));
}

TEST_CASE("a range of ports in a route is a route for each pair, or all to one target")
{
    const auto texts = [](const char* written) {
        std::vector<std::string> all;
        const auto routes = parse_routes(written).value();
        for (const auto& route : routes)
            all.push_back(route.listen.text() + " " + route.target.to_string());
        return all;
    };
    CHECK(texts(":1-2 10.0.0.1:80-81") == std::vector<std::string>{":1 10.0.0.1:80", ":2 10.0.0.1:81"});
    CHECK(texts(":1-2 10.0.0.1:80") == std::vector<std::string>{":1 10.0.0.1:80", ":2 10.0.0.1:80"});
    CHECK(says(parse_routes(":1-2 10.0.0.1:80-82"), "':1-2' has 2 ports and '10.0.0.1:80-82' 3"));
    CHECK(says(parse_routes(":1 10.0.0.1:80-82"), "write ranges of equal length, or one target"));
    CHECK(says(parse_routes(":1 host:80"), "is no IPv4 address and port"));
    CHECK(parse_routing("# two\n:1-2 10.0.0.1:80 # one target\n:4 10.0.0.2:80\n", "f")->size() == 3);
    CHECK(says(parse_routing(":1-3 10.0.0.1:80\n:2 10.0.0.1:80\n", "f"), "f:2: :2 is taken by the route of :2"));
}

TEST_CASE("addresses that cannot be listened on at once are known before")
{
    const auto collide = [](const char* a, const char* b) {
        const bool one = parse_address(a)->collides(*parse_address(b));
        CHECK(one == parse_address(b)->collides(*parse_address(a)));
        return one;
    };
    CHECK(collide(":80", ":80"));
    CHECK(collide(":80", "127.0.0.1:80"));
    CHECK(collide("0.0.0.0:80", "127.0.0.1:80"));
    CHECK(collide(":80", "[::1]:80"));
    CHECK(collide(":80", "[::]:80"));
    CHECK(collide("[::]:80", "[::1]:80"));
    CHECK(collide("[::]:80", "localhost:80"));
    CHECK(collide("0.0.0.0:80", "localhost:80"));
    CHECK_FALSE(collide("[::]:80", "0.0.0.0:80"));
    CHECK_FALSE(collide("[::]:80", "127.0.0.1:80"));
    CHECK_FALSE(collide("[::1]:80", "0.0.0.0:80"));
    CHECK(collide("unix:/a", "unix:/a"));
    CHECK(collide("fd:web", "fd:web"));
    CHECK_FALSE(collide(":80", ":81"));
    CHECK_FALSE(collide("127.0.0.1:80", "127.0.0.2:80"));
    CHECK_FALSE(collide(":0", ":0"));
    CHECK_FALSE(collide("unix:/a", "unix:/b"));
    CHECK_FALSE(collide("unix:web", "fd:web"));
}

TEST_CASE("assignments and names")
{
    CHECK(parse_assignment("A=b=c")->second == "b=c");
    CHECK(parse_assignment("A=")->second.empty());
    CHECK(says(parse_assignment("A"), "NAME=VALUE"));
    CHECK(says(parse_assignment("=b"), "NAME=VALUE"));
    CHECK(parse_name("heap-2_b") == "heap-2_b");
    for (const auto text : {"", "a b", "a/b", "a.b", "\xc3\xa4"})
        CHECK(says(parse_name(text), "letters, digits"));
    CHECK(says(parse_name(std::string(64, 'a')), "up to 63"));
}

TEST_CASE("values are shown as they are written")
{
    using namespace std::chrono_literals;
    for (const auto* text : {"0", "300ms", "90s", "10m", "2h", "150us", "61m"})
        CHECK(print_duration(*parse_short_duration(text)) == text);
    CHECK(print_duration(120min) == "2h");
    for (const auto* text : {"0", "512", "3k", "64m", "2g", "1025"})
        CHECK(print_size(*parse_size(text)) == text);
    for (const auto* text : {"0", "0.5", "2"})
        CHECK(print_cpus(*parse_cpus(text)) == text);
    for (const auto* text : {"8000", "8000-8009"})
        CHECK(print_ports(*parse_ports(text)) == text);
}

TEST_CASE("shares of a processor that the kernel cannot give are refused with the least that it can")
{
    CHECK(says(parse_cpus("0.0001"), "write 0.01 or more"));
    CHECK(parse_cpus("0.01") == 0.01);
}

TEST_CASE("the nearest word is suggested, a far one is not")
{
    const std::vector<std::string_view> words = {"ttl", "idle", "linger", "listen", "tokens"};
    CHECK(nearest("tll", words) == "ttl");
    CHECK(nearest("lsiten", words) == "listen");
    CHECK(nearest("token", words) == "tokens");
    CHECK(nearest("idel", words) == "idle");
    CHECK(nearest("banana", words).empty());
    CHECK(suggestion("token", words, "--") == "; did you mean --tokens?");
    CHECK(suggestion("banana", words).empty());
}
