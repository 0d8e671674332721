// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <asio/post.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/detail/relay/relay_channel.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/relay/relay_observer.hpp>
#include <instancer/relay/relay_options.hpp>
#include <instancer/relay/relay_status.hpp>
#include <instancer/workers.hpp>

namespace instancer {

/// Instances are channels: what one client of a channel sends goes, unchanged and in order, to all others in it. Use it
/// with a pool as `default_pool_options` says, and with an authenticator that has the clients of one channel show one
/// identity, such as the RelayAuthenticator.
///
/// All members of a channel live on one worker; channels are spread over all of them.
class RelayBackend final : public InstanceBackend {
public:
    /// Lifetime: `workers` and `observer` must outlive the backend and all that it made.
    RelayBackend(Workers& workers, const RelayOptions& options, RelayObserver& observer)
        : workers_(workers), rules_(std::make_shared<detail::RelayRules>(options, observer))
    {
    }

    /// A policy under which a channel lasts as long as anybody is in it.
    static PoolOptions default_pool_options()
    {
        PoolOptions pool;
        pool.max_instances = 0;
        pool.max_starting = 0;
        pool.idle = pool.linger = pool.idle.zero();
        return pool;
    }

    /// Whether senders get their own bytes too, in all channels.
    bool echo() const noexcept { return rules_->echo; }
    /// Sets whether members get their own bytes, too.
    void set_echo(bool value)
    {
        rules_->echo = value;
        for (const auto& channel : channels_)
            asio::post(channel->executor(), [channel] { channel->rules_changed(); });
    }

    /// All channels and their members, by name.
    ///
    /// Cancellation: none.
    asio::awaitable<std::vector<RelayChannelStatus>> snapshot() const;

private:
    using Channel = detail::RelayChannel;

    BackendTraits do_traits() const override
    {
        BackendTraits traits;
        traits.ready_at_start(true);
        return traits;
    }

    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;

    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest request) override;

    asio::any_io_executor do_preferred_executor(const Instance& instance) const override
    {
        return instance.state<Channel>().executor();
    }

    asio::awaitable<InstanceExit> do_wait(Instance instance) override;

    asio::awaitable<Result<void>> do_stop(Instance instance) override;

    Workers& workers_;
    std::shared_ptr<detail::RelayRules> rules_;
    std::unordered_set<std::shared_ptr<Channel>> channels_;
    std::size_t next_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/relay/relay_backend.hpp>
#endif
