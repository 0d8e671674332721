// SPDX-License-Identifier: MIT
// instancerd as either end of a reverse tunnel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <daemon.hpp>
#include <forward.hpp>
#include <raw_client.hpp>

namespace tunnel_test {

using namespace daemon_test;

/// A server with a route to each target, by default for every user and for agents of this machine.
class TunnelServer : public Child {
public:
    explicit TunnelServer(const std::vector<std::string>& targets, const Words& more = {},
                          const Words& who = {"--any-user", "--agents", "127.0.0.1"})
        : Child(instancerd(words(targets, more, who))), several_(targets.size() > 1)
    {
        REQUIRE_MESSAGE(agents_port() != 0, log());
    }

    std::uint16_t agents_port() const { return port_of("tunnel-server (agents): listening on "); }
    std::uint16_t control_port() const { return port_of("tunnel-server (control): listening on "); }

    /// Where users of the `nth` route connect.
    std::uint16_t port(std::size_t nth = 1) const
    {
        return port_of("tunnel-server" + (several_ ? "-" + std::to_string(nth) : "") + ": listening on ");
    }

    /// Answers to `commands`, all of them.
    std::string control(const std::string& commands) const
    {
        RawClient client(control_port());
        client.send(commands);
        client.half_close();
        return client.receive_all();
    }

    /// Waits until an agent of either kind can be used.
    bool has_agent(std::size_t nth = 1) const { return wait_for_line(" is connected", nth) != ""; }

private:
    static Words words(const std::vector<std::string>& targets, const Words& more, const Words& who)
    {
        Words all = {"tunnel", "server", "-p", "127.0.0.1:0", "-C", "127.0.0.1:0"};
        for (const auto& target : targets)
            all.insert(all.end(), {"--route", "127.0.0.1:0 " + target});
        all.insert(all.end(), more.begin(), more.end());
        all.insert(all.end(), who.begin(), who.end());
        return all;
    }

    std::uint16_t port_of(const std::string& mark) const
    {
        const auto line = wait_for_line(mark);
        return line.empty() ? std::uint16_t{0}
                            : static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    }

    bool several_;
};

/// An agent that tries its server again soon.
class TunnelAgent : public Child {
public:
    explicit TunnelAgent(const std::string& server, const Words& more = {}) : Child(instancerd(words(server, more))) {}
    explicit TunnelAgent(const TunnelServer& server, const Words& more = {})
        : TunnelAgent("127.0.0.1:" + std::to_string(server.agents_port()), more)
    {
    }

private:
    static Words words(const std::string& server, const Words& more)
    {
        Words all = {"tunnel", "agent", "-p", server};
        all.insert(all.end(), more.begin(), more.end());
        if (std::find(more.begin(), more.end(), "--reconnect") == more.end())
            all.insert(all.end(), {"--reconnect", "100ms"});
        return all;
    }
};

inline std::string random_bytes(std::size_t size, unsigned seed = 1)
{
    std::string bytes(size, '\0');
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < size; i += 8) {
        const auto value = random();
        for (std::size_t k = i; k < std::min(i + 8, size); ++k)
            bytes[k] = static_cast<char>(value >> 8 * (k - i));
    }
    return bytes;
}

/// What an echo makes of `data`. With `half_close` it is told the end, else all that it must answer is waited for.
/// `is_sent` says whether all of it could be sent: of a reset, the system tells only who asks first.
inline std::string echo_of(RawClient& client, const std::string& data, bool half_close, bool* is_sent = nullptr)
{
    std::thread sender([&] {
        const bool sent = client.send(data);
        if (half_close)
            client.half_close();
        if (is_sent)
            *is_sent = sent;
    });
    const auto answer = half_close ? client.receive_all() : client.receive(data.size());
    sender.join();
    return answer;
}

}  // namespace tunnel_test
