// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <instancer/client.hpp>
#include <instancer/coming_end.hpp>
#include <instancer/environment.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/queue_place.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// A request of a session to the pool.
class AcquireRequest {
public:
    /// An instance of `identity`, for `client`.
    AcquireRequest(const Identity& identity, ClientInfo client) : identity_(identity), client_(std::move(client)) {}

    /// The identity whose instance is wanted.
    const Identity& identity() const noexcept { return identity_; }
    /// For whom.
    const ClientInfo& client() const noexcept { return client_; }

    /// The owner as all pools of an InstanceBudget know it; empty where what it has in others does not count.
    const std::optional<Digest>& common_owner() const noexcept { return common_owner_; }
    /// Sets the name by which all pools know the owner.
    AcquireRequest& common_owner(const Digest& owner)
    {
        common_owner_ = owner;
        return *this;
    }

    /// Every instance of the owner goes first.
    bool reset() const noexcept { return reset_; }
    /// Sets whether every instance of the owner goes first.
    AcquireRequest& reset(bool value) noexcept
    {
        reset_ = value;
        return *this;
    }

    /// No instance is to be started for it, and no warm one given to it. It is refused as any other would be.
    bool join_only() const noexcept { return join_only_; }
    /// Sets whether it is content with an instance that its identity has already.
    AcquireRequest& join_only(bool value) noexcept
    {
        join_only_ = value;
        return *this;
    }

    /// The name in logs of an instance that is started for it.
    const std::string& label() const noexcept { return label_; }
    /// Sets the label.
    AcquireRequest& label(std::string text)
    {
        label_ = std::move(text);
        return *this;
    }

    /// Variables for an instance that is started for it.
    const Environment& environment() const noexcept { return environment_; }
    /// Sets the variables.
    AcquireRequest& environment(Environment variables)
    {
        environment_ = std::move(variables);
        return *this;
    }

    /// The client's own socket, for a backend that hands it over.
    UniqueFd& client_socket() noexcept { return client_socket_; }

    /// Called, at most once, on the pool's control executor, when the instance is taken away or has ended
    /// (`InstanceEnd::exited`) while the lease is held.
    const std::function<void(InstanceEnd)>& on_end() const noexcept { return on_end_; }
    /// Sets what is called when the instance ends.
    AcquireRequest& on_end(std::function<void(InstanceEnd)> callback)
    {
        on_end_ = std::move(callback);
        return *this;
    }

    /// Called on the pool's control executor when the client waits for room, and when its place has changed; not more
    /// often than twice a second.
    const std::function<void(const QueuePlace&)>& on_queue() const noexcept { return on_queue_; }
    /// Sets what is called with the client's place in the queue.
    AcquireRequest& on_queue(std::function<void(const QueuePlace&)> callback)
    {
        on_queue_ = std::move(callback);
        return *this;
    }

    /// Called on the pool's control executor, `PoolOptions::warn_before` the instance's time is over; again when that
    /// was put off.
    std::function<void(const ComingEnd&)>& on_warning() noexcept { return on_warning_; }
    /// Sets what is called before the instance's time is over.
    AcquireRequest& on_warning(std::function<void(const ComingEnd&)> callback)
    {
        on_warning_ = std::move(callback);
        return *this;
    }

private:
    Identity identity_;
    ClientInfo client_;
    std::string label_;
    Environment environment_;
    std::optional<Digest> common_owner_;
    UniqueFd client_socket_;
    std::function<void(InstanceEnd)> on_end_;
    std::function<void(const QueuePlace&)> on_queue_;
    std::function<void(const ComingEnd&)> on_warning_;
    bool reset_ = false;
    bool join_only_ = false;
};

}  // namespace instancer
