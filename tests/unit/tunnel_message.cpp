// SPDX-License-Identifier: MIT
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/tunnel/message.hpp>

using namespace instancer;
using namespace std::string_literals;

namespace {

std::string describe(const TunnelMessage& message)
{
    static const char* const names[] = {"GRT", "FWD", "DIS", "CTL", "ALV", "FIN", "WND"};
    return names[static_cast<int>(message.command)] + (" " + std::to_string(message.sequence)) + " " +
           message.from.to_string() + " " + message.to.to_string() + " " + std::string(message.text()) + "\n";
}

/// What becomes of `bytes` that come in pieces of the sizes that `next` gives.
template <class Next>
std::string decode(const std::string& bytes, Next next)
{
    TunnelMessageDecoder decoder;
    std::string text;
    for (std::size_t taken = 0; taken < bytes.size();) {
        const auto size = std::min<std::size_t>(next(), bytes.size() - taken);
        const auto fed = decoder.feed(std::as_bytes(std::span(bytes)).subspan(taken, size), [&](const auto& message) {
            text += describe(message);
            return Result<void>();
        });
        if (!fed)
            return text + "malformed: " + fed.error().text();
        taken += size;
    }
    return text + (decoder.is_between_messages() ? "" : "incomplete");
}

/// The same however it is cut.
std::string decode(const std::string& bytes)
{
    const auto whole = decode(bytes, [&] { return bytes.size(); });
    for (std::size_t size = 1; size <= 40; ++size)
        CHECK(decode(bytes, [&] { return size; }) == whole);
    std::mt19937 random(1);
    for (int i = 0; i < 20; ++i)
        CHECK(decode(bytes, [&] { return 1 + random() % 30; }) == whole);
    return whole;
}

const std::string user = "\xc0\x00\x02\x01\x13\x88"s, target = "\x0a\x00\x00\x01\x00\x50"s;

/// As its description says, byte by byte.
std::string message(const std::string& command, const std::string& data, int sequence = 1)
{
    const auto length = 17 + data.size();
    return std::string{static_cast<char>(length >> 8), static_cast<char>(length), static_cast<char>(sequence >> 8),
                       static_cast<char>(sequence)} +
           command + user + target + data;
}

}  // namespace

TEST_CASE("tunnel messages: what is sent, byte by byte, is what is read")
{
    const std::string data = "hello";
    std::vector<std::byte> bytes;
    encode_tunnel_message(TunnelMessage(TunnelCommand::forward, TunnelAddress(0xc0000201, 5000),
                                        TunnelAddress(0x0a000001, 80), std::as_bytes(std::span(data)), 258),
                          bytes);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    CHECK(text == message("FWD", "hello", 258));
    CHECK(decode(text) == "FWD 258 192.0.2.1:5000 10.0.0.1:80 hello\n");
}

TEST_CASE("tunnel messages: all commands, empty and full ones, in any segmentation")
{
    std::string all, wanted;
    int number = 0;
    for (const auto* command : {"GRT", "FWD", "DIS", "CTL", "ALV", "FIN", "WND"}) {
        const std::string data(static_cast<std::size_t>(++number) * 7 - 7, 'x');
        all += message(command, data, number);
        wanted += std::string(command) + " " + std::to_string(number) + " 192.0.2.1:5000 10.0.0.1:80 " + data + "\n";
    }
    CHECK(decode(all) == wanted);
    const std::string full(TunnelMessage::max_data, 'f');
    CHECK(decode(message("FWD", full)) == "FWD 1 192.0.2.1:5000 10.0.0.1:80 " + full + "\n");
}

TEST_CASE("tunnel messages: cut off anywhere, the last one is incomplete")
{
    const auto both = message("GRT", "a") + message("FWD", "body");
    const auto first = decode(message("GRT", "a"));
    for (std::size_t size = message("GRT", "a").size() + 1; size < both.size(); ++size)
        CHECK(decode(both.substr(0, size)) == first + "incomplete");
}

TEST_CASE("tunnel messages: what is none is malformed as soon as that is certain")
{
    for (const int length : {0, 1, 16}) {
        const std::string begin{static_cast<char>(0), static_cast<char>(length)};
        CHECK(decode(begin) ==
              "malformed: a message has length " + std::to_string(length) + "; none is shorter than 17");
    }
    for (const auto* command : {"fwd", "FWX", "ABC", "FW\n"})
        CHECK(decode(message(command, "").substr(0, 7)) == "malformed: a message has an unknown command");
    const auto good = message("ALV", "123456");
    CHECK(decode(good + "HTTP/1.1 200 OK\r\n") == decode(good) + "malformed: a message has an unknown command");
}

TEST_CASE("tunnel messages: random bytes never do harm, and are the same in pieces")
{
    std::mt19937 random(7);
    for (int i = 0; i < 300; ++i) {
        std::string bytes = i % 2 == 0 ? message("FWD", "data") : "";
        for (std::size_t n = random() % 60; n > 0; --n)
            bytes += static_cast<char>(random());
        decode(bytes);
    }
}

TEST_CASE("tunnel messages: after an error nothing is decoded any more")
{
    TunnelMessageDecoder decoder;
    int count = 0;
    const auto counting = [&](const TunnelMessage&) {
        ++count;
        return Result<void>();
    };
    const std::string bad("\0\1", 2), good = message("GRT", "");
    CHECK(!decoder.feed(std::as_bytes(std::span(bad)), counting));
    CHECK(!decoder.feed(std::as_bytes(std::span(good)), counting));
    CHECK(count == 0);
}
