// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <instancer/acceptor/access_rules.hpp>
#include <instancer/admission/ban_list.hpp>
#include <instancer/client.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Keeps out the sources whose clients fail too often, and those that an operator bans. Clients of Unix sockets are
/// never banned.
///
/// Threads: any.
class Bans {
public:
    /// Hears of a ban that a failure began, on the thread that noted the failure. It must not wait.
    using OnBan = std::function<void(const Ban&)>;

    /// Clients that `exempt` allows are never banned; an empty one allows none.
    Bans(const BanOptions& options, AccessRules exempt, OnBan on_ban)
        : exempt_(std::move(exempt)), on_ban_(std::move(on_ban)), list_(options)
    {
    }

    /// Errors: Errc::denied, with the end of the ban and its reason.
    Result<void> check(const ClientInfo& client) const;

    /// A client failed to prove its identity, or anything else that was asked of it.
    void note_failure(const ClientInfo& client, const std::string& reason);

    /// The bans in force, the first to end in front.
    std::vector<Ban> list() const
    {
        const std::lock_guard lock(mutex_);
        return list_.list(now());
    }

    /// Adds a ban, or replaces that of the same network.
    void add(const Ban& ban)
    {
        const std::lock_guard lock(mutex_);
        list_.add(ban);
    }

    /// Ends the ban of exactly that network and forgets it; false when there is none.
    bool remove(const Network& network)
    {
        const std::lock_guard lock(mutex_);
        return list_.remove(network);
    }

    /// The same, with those that are over and still count: a network that is banned again is banned for longer.
    std::vector<Ban> remembered() const
    {
        const std::lock_guard lock(mutex_);
        return list_.remembered(now());
    }

    /// From now on `bans` are remembered, and no others.
    void replace(const std::vector<Ban>& bans);

private:
    static Ban::Time now() { return std::chrono::system_clock::now(); }

    /// The address that may be banned; none for a client that may not.
    std::optional<asio::ip::address> address_of(const ClientInfo& client) const;

    const AccessRules exempt_;
    const OnBan on_ban_;
    mutable std::mutex mutex_;  ///< Guards what follows.
    BanList list_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/bans.hpp>
#endif
