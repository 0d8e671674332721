// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/detail/config.hpp>
#include <instancer/relay/relay_backend.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<std::vector<RelayChannelStatus>> RelayBackend::snapshot() const
{
    std::vector<RelayChannelStatus> all;
    const auto channels = channels_;
    for (const auto& channel : channels) {
        const auto answer = std::make_shared<OneShot<RelayChannelStatus>>(workers_.control());
        asio::post(channel->executor(), [channel, answer] { answer->complete(channel->status()); });
        auto status = co_await answer->wait_uncancelled();
        all.push_back(std::move(status));
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    co_return all;
}

INSTANCER_DECL asio::awaitable<Result<Instance>> RelayBackend::do_start(InstanceRequest request)
{
    next_ = (next_ + 1) % workers_.size();
    auto name = request.label().empty() ? "channel" : request.label();
    const auto channel = std::make_shared<Channel>(workers_.control(), workers_.executor(next_), name, rules_);
    channels_.insert(channel);
    co_return Instance(std::move(name), channel);
}

INSTANCER_DECL asio::awaitable<Result<Stream>> RelayBackend::do_open(Instance instance, OpenRequest request)
{
    auto member = instance.state<Channel>().join(request.session(), request.client().value_or(ClientInfo()));
    if (!member)
        co_return fail(std::move(member.error()));
    co_return Stream(std::make_unique<detail::RelayStream>(std::move(*member)));
}

INSTANCER_DECL asio::awaitable<InstanceExit> RelayBackend::do_wait(Instance instance)
{
    co_await instance.state<Channel>().ended.wait();
    co_return InstanceExit();
}

INSTANCER_DECL asio::awaitable<Result<void>> RelayBackend::do_stop(Instance instance)
{
    const auto channel = instance.shared_state<Channel>();
    channels_.erase(channel);
    channel->ended.set();
    asio::post(channel->executor(), [channel] { channel->close(); });
    co_return Result<void>();
}

}  // namespace instancer
