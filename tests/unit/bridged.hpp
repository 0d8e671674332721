// SPDX-License-Identifier: MIT
// Two far ends that a test holds, joined by a bridge of any kind.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <asio/post.hpp>
#include <doctest/doctest.h>

#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/socket_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

namespace bridged {

using namespace async_test;
using namespace socket_pair;
using instancer::Bridge;
using instancer::BridgeEnd;
using instancer::HookAnswer;
using instancer::HookedBridge;
using instancer::Link;
using instancer::LinkState;
using instancer::make_socket_stream;
using instancer::PairBridge;
using instancer::Usage;

/// A socket that does not say that it is one, so that the bridge copies between streams of any kind.
class VeiledSocket final : public instancer::detail::SocketStream {
public:
    using SocketStream::SocketStream;

    int native_handle() const noexcept override { return -1; }
};

/// Takes its time, and changes nothing.
class SlowHook final : public instancer::SessionHook {
    HookAnswer from_client(std::span<char> data) override { return later(data); }
    HookAnswer from_instance(std::span<char> data) override { return later(data); }
    HookAnswer client_ended() override { return later({}); }
    HookAnswer instance_ended() override { return later({}); }

    static asio::awaitable<HookAnswer> later(std::span<char> data)
    {
        co_await asio::post(asio::use_awaitable);
        co_return data;
    }
};

/// How the bytes get from one end to the other.
enum class Path { sockets, streams, hook, slow_hook };

inline std::unique_ptr<Bridge> make_bridge(Path path, instancer::Events& events)
{
    if (path == Path::hook)
        return std::make_unique<HookedBridge>([](const auto&) { return std::make_unique<instancer::SessionHook>(); },
                                              events);
    if (path == Path::slow_hook)
        return std::make_unique<HookedBridge>([](const auto&) { return std::make_unique<SlowHook>(); }, events);
    return std::make_unique<PairBridge>();
}

/// client -- [link] -- server, where the tests hold client and server.
class Bridged {
public:
    /// `unread` was given back to both near ends before they are joined.
    Bridged(Pair client_pair, Pair server_pair, Path path = Path::sockets, std::string_view unread = {})
        : client(make_socket_stream(loop.executor(), std::move(client_pair.first))),
          server(make_socket_stream(loop.executor(), std::move(server_pair.first))),
          link(near(std::move(client_pair.second), path, unread), near(std::move(server_pair.second), path, unread),
               usage, state),
          bridge(make_bridge(path, events)),
          bridging(loop.start(bridge->run(link)))
    {
    }

    BridgeEnd end()
    {
        REQUIRE(loop.until([&] { return bridging.done(); }));
        return bridging.value();
    }

    Loop loop;
    instancer::Events events;
    Usage usage;
    LinkState state;
    Stream client, server;
    Link link;
    std::unique_ptr<Bridge> bridge;
    Task<BridgeEnd> bridging;

private:
    Stream near(UniqueFd socket, Path path, std::string_view unread)
    {
        auto stream = path == Path::streams ? Stream(std::make_unique<VeiledSocket>(loop.executor(), std::move(socket)))
                                            : make_socket_stream(loop.executor(), std::move(socket));
        stream.unread(unread);
        return stream;
    }
};

template <class Test>
void on_each_path(const Test& test)
{
    for (const auto path : {Path::sockets, Path::streams, Path::hook, Path::slow_hook}) {
        CAPTURE(static_cast<int>(path));
        test(path);
    }
}

/// Runs a test with either kind of instance; the client comes over TCP.
template <class Test>
void with_each_kind(const Test& test)
{
    on_each_path([&](Path path) {
        for (const bool is_tcp : {false, true}) {
            CAPTURE(is_tcp);
            Bridged bridged(tcp(), is_tcp ? tcp() : unix_domain(), path);
            test(bridged, is_tcp);
        }
    });
}

}  // namespace bridged
