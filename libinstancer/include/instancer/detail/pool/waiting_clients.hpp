// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <asio/any_io_executor.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/pool_action.hpp>
#include <instancer/pool/queue_place.hpp>
#include <instancer/pool/waiter_table.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// A client that waits for its lease, seen from both of its threads.
class WaitingClient {
public:
    WaitingClient(const asio::any_io_executor& executor, AcquireRequest request)
        : executor_(executor), request_(std::move(request)), lease_(std::make_shared<OneShot<Result<Lease>>>(executor))
    {
    }

    const asio::any_io_executor& executor() const noexcept { return executor_; }
    AcquireRequest& request() noexcept { return request_; }
    OneShot<Result<Lease>>& lease() const noexcept { return *lease_; }

    /// When it asked.
    std::chrono::steady_clock::time_point since() const noexcept { return since_; }

    // The control executor's own.
    WaiterId waiter = 0;
    QueuePlace place;  ///< What it was told last.

private:
    const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
    asio::any_io_executor executor_;
    AcquireRequest request_;
    std::shared_ptr<OneShot<Result<Lease>>> lease_;
};

using WaitingClientPtr = std::shared_ptr<WaitingClient>;

/// The clients of a pool that have no answer yet, by what the state calls them.
class WaitingClients {
public:
    void add(WaiterId waiter, const WaitingClientPtr& client)
    {
        client->waiter = waiter;
        clients_.emplace(waiter, client);
    }

    /// Null when the client no longer waits.
    WaitingClientPtr find(WaiterId waiter) const
    {
        const auto found = clients_.find(waiter);
        return found == clients_.end() ? nullptr : found->second;
    }

    /// Finds the client and removes it.
    WaitingClientPtr take(WaiterId waiter)
    {
        const auto node = clients_.extract(waiter);
        return node.empty() ? nullptr : std::move(node.mapped());
    }

    /// Answers the client with the error of `action`; `start_failure` says why a start failed.
    void refuse(const PoolAction& action, std::string_view start_failure)
    {
        const auto client = take(action.waiter);
        if (!client)
            return;
        const bool failed = action.error == Errc::start_failed || action.error == Errc::backend_unavailable;
        client->lease().complete(fail(failed ? Error(action.error, std::string(start_failure)) : refusal_of(action)));
    }

    /// The refusal of a client that meets a limit.
    static Error refusal_of(const PoolAction& action)
    {
        std::string text = action.limit;
        if (action.instances != 0)
            text += (text.empty() ? "" : ": ") + std::to_string(action.instances) + " in all, " +
                    std::to_string(action.unused) + " of them unused";
        return Error(action.error, std::move(text));
    }

private:
    std::unordered_map<WaiterId, WaitingClientPtr> clients_;
};

}  // namespace instancer::detail
