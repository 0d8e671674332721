// SPDX-License-Identifier: MIT
// What the other end of a tunnel's link can send: it decodes to the same however it is cut, and neither end is harmed.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <instancer/tunnel/multiplexer.hpp>

#include "require.hpp"

using namespace instancer;

namespace {

using Bytes = std::span<const std::byte>;

template <class Next>
std::string decode(Bytes bytes, Next next)
{
    TunnelMessageDecoder decoder;
    std::string text;
    while (!bytes.empty()) {
        const auto size = std::min<std::size_t>(next(), bytes.size());
        const auto fed = decoder.feed(bytes.first(size), [&](const TunnelMessage& message) {
            text += std::to_string(static_cast<int>(message.command)) + message.from.to_string() +
                    message.to.to_string() + std::to_string(message.sequence) + std::string(message.text());
            std::vector<std::byte> again;
            encode_tunnel_message(message, again);
            REQUIRE(again.size() == TunnelMessage::length_size + TunnelMessage::header_size + message.data.size());
            return Result<void>();
        });
        if (!fed)
            return text + fed.error().text();
        bytes = bytes.subspan(size);
    }
    return text;
}

class Watcher final : public TunnelObserver {
public:
    std::vector<TunnelSessionPtr> opened;

private:
    void session_opened(const TunnelSessionPtr& session) override { opened.push_back(session); }
};

/// One end that gets `bytes`, uses its sessions meanwhile and closes them.
void serve(TunnelMultiplexer::Role role, Bytes bytes)
{
    TunnelOptions options;
    options.session_buffer = 4096;
    TunnelMultiplexer::TimePoint now{std::chrono::hours(1)};
    Watcher watcher;
    TunnelMultiplexer end(role, options, TunnelAddress(1, 1), TunnelAddress(2, 2), watcher, now);
    auto sessions = watcher.opened;
    if (role == TunnelMultiplexer::Role::server)
        for (std::uint16_t port = 1; port <= 3; ++port)
            sessions.push_back(end.open(TunnelAddress(0x30303030, port), TunnelAddress(3, 3), "user", now));
    std::array<std::byte, 3000> buffer{};
    for (std::size_t turn = 0; !bytes.empty(); ++turn) {
        const auto size = std::min<std::size_t>(1 + turn * 37 % 500, bytes.size());
        if (!end.receive(bytes.first(size), now))
            break;
        bytes = bytes.subspan(size);
        now += std::chrono::milliseconds(turn * 13 % 700);
        if (!end.advance(now))
            break;
        for (const auto& session : role == TunnelMultiplexer::Role::server ? sessions : watcher.opened) {
            static_cast<void>(end.send(session, buffer, now));
            static_cast<void>(end.read(session, buffer, now));
            if (turn % 7 == 6)
                end.finish(session, now);
            if (turn % 11 == 10)
                end.close(session, "closed", now);
        }
        TunnelMessageDecoder decoder;
        REQUIRE(decoder.feed(end.output(), [](const TunnelMessage&) { return Result<void>(); }));
        REQUIRE(decoder.is_between_messages());
        end.sent(end.output().size(), now);
    }
    end.lose();
    for (const auto& session : role == TunnelMultiplexer::Role::server ? sessions : watcher.opened) {
        while (end.read(session, buffer, now).value_or(0) > 0) {}
        end.close(session, "closed", now);
    }
    REQUIRE(end.sessions().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto whole = decode(bytes, [&] { return size; });
    REQUIRE(decode(bytes, [] { return std::size_t{1}; }) == whole);
    std::size_t turn = 0;
    REQUIRE(decode(bytes, [&] { return std::size_t{1} + data[++turn % size] % 23; }) == whole);
    serve(TunnelMultiplexer::Role::server, bytes);
    serve(TunnelMultiplexer::Role::agent, bytes);
    return 0;
}
