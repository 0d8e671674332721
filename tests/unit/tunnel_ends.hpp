// SPDX-License-Identifier: MIT
// The two ends of a link, without I/O and with a clock that the test moves.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/error.hpp>
#include <doctest/doctest.h>

#include <instancer/tunnel/multiplexer.hpp>

namespace tunnel_ends {

using namespace instancer;
using namespace std::chrono_literals;

inline const TunnelAddress user(0xc0000201, 5000), other_user(0xc0000202, 6000), target(0x0a000001, 80);
inline const TunnelAddress server_address(0x7f000001, 8443), agent_address(0x7f000001, 4000);

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// One end, and what it has reported.
class End final : public TunnelObserver {
public:
    using Role = TunnelMultiplexer::Role;

    End(Role role, TunnelMultiplexer::TimePoint& clock, TunnelOptions options = {}, bool displaced = false)
        : now(clock),
          all(role, options, role == Role::server ? server_address : agent_address,
              role == Role::server ? agent_address : server_address, *this, now, displaced)
    {
    }

    /// What it would send, as a list; taken from it.
    std::string takes_out(bool with_data = true)
    {
        std::string text;
        TunnelMessageDecoder decoder;
        REQUIRE(decoder.feed(all.output(), [&](const TunnelMessage& message) {
            static const char* const names[] = {"GRT", "FWD", "DIS", "CTL", "ALV", "FIN", "WND"};
            text += (text.empty() ? "" : " | ") + std::string(names[static_cast<int>(message.command)]);
            if (with_data && !message.data.empty())
                text += " " + std::string(message.text());
            return Result<void>();
        }));
        all.sent(all.output().size(), now);
        return text;
    }

    Result<void> gets(TunnelCommand command, TunnelAddress from, TunnelAddress to, std::string_view data = {})
    {
        std::vector<std::byte> bytes;
        encode_tunnel_message(TunnelMessage(command, from, to, bytes_of(data)), bytes);
        return all.receive(bytes, now);
    }

    std::string send(const TunnelSessionPtr& session, std::string_view data)
    {
        const auto sent = all.send(session, bytes_of(data), now);
        return sent ? std::to_string(*sent) : sent.error().code().message();
    }

    std::string read(const TunnelSessionPtr& session, std::size_t size = 1 << 20)
    {
        std::string text(size, '\0');
        const auto count = all.read(session, std::as_writable_bytes(std::span(text)), now);
        if (!count)
            return count.error() == std::error_code(asio::error::would_block) ? "would block" : "reset";
        return *count == 0 ? "eof" : text.substr(0, *count);
    }

    TunnelMultiplexer::TimePoint& now;
    std::vector<TunnelSessionPtr> opened;
    std::vector<std::string> disconnected;
    std::vector<std::string> controls;
    std::vector<std::string> displaced_by;
    int refused = 0;
    int round_trips = 0;

private:
    void session_opened(const TunnelSessionPtr& session) override { opened.push_back(session); }
    void session_disconnected(const TunnelSession&, std::string_view reason) override
    {
        disconnected.emplace_back(reason);
    }
    void session_refused() override { ++refused; }
    void displaced(std::string_view by) override { displaced_by.emplace_back(by); }
    void round_trip(std::chrono::nanoseconds) override { ++round_trips; }
    std::string control(std::string_view text) override
    {
        controls.emplace_back(text);
        return "answer";
    }

public:
    TunnelMultiplexer all;
};

/// A server and an agent, and the bytes between them.
class Pair {
public:
    explicit Pair(TunnelOptions options = {})
        : server(End::Role::server, now, options), agent(End::Role::agent, now, options)
    {
        settle();
    }

    static bool move(End& from, End& to)
    {
        const std::vector<std::byte> bytes(from.all.output().begin(), from.all.output().end());
        from.all.sent(bytes.size(), from.now);
        REQUIRE(to.all.receive(bytes, to.now));
        return !bytes.empty();
    }

    static void exchange(End& one, End& other)
    {
        for (bool moved = true; moved;) {
            moved = move(one, other);
            moved = move(other, one) || moved;
        }
    }

    void settle() { exchange(server, agent); }

    std::pair<TunnelSessionPtr, TunnelSessionPtr> open(TunnelAddress from = user)
    {
        const auto at_server = server.all.open(from, target, "somebody", now);
        settle();
        REQUIRE(!agent.opened.empty());
        return {at_server, agent.opened.back()};
    }

    TunnelMultiplexer::TimePoint now{1h};
    End server, agent;
};

/// A server whose agent is of the original.
class Foreign {
public:
    explicit Foreign(TunnelOptions options = {}) : server(End::Role::server, now, options)
    {
        server.takes_out();
        REQUIRE(server.gets(TunnelCommand::greeting, agent_address, server_address, "hello"));
    }

    TunnelMultiplexer::TimePoint now{1h};
    End server;
};

}  // namespace tunnel_ends
