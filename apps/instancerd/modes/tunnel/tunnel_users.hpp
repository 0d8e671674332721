// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>

#include <asio/awaitable.hpp>
#include <asio/ip/address.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

#include "modes/tunnel/tunnel_settings.hpp"
#include "modes/tunnel/user_database.hpp"

namespace instancer::daemon {

/// Who may use a tunnel: the users and agents of its files, which can be replaced while it runs, and the users of a
/// database, if there is one.
///
/// Where another process has the database, each call tries again for two seconds; others are served meanwhile.
///
/// Threads: any.
class TunnelUsers {
public:
    /// Lifetime: `events` must outlive this, and this every call.
    TunnelUsers(std::string service, TunnelFiles files, std::unique_ptr<UserDatabase> database, Events& events);

    /// What the files say now.
    std::shared_ptr<const TunnelFiles> files() const;

    void replace(TunnelFiles files);

    bool has_database() const noexcept { return database_ != nullptr; }

    /// Whether somebody has that address. In the database, it is noted that the user has come.
    ///
    /// Errors: Errc::backend_unavailable when the database cannot say.
    asio::awaitable<Result<bool>> knows(asio::ip::address address);

    /// As `UserDatabase::set_address`. There must be a database.
    asio::awaitable<Parsed<void>> set_address(std::string name, std::optional<std::string> address);

    /// The same for the only user there is.
    asio::awaitable<Parsed<void>> set_only_address(std::string address);

private:
    /// Runs `call(database)` on the database's thread, again while another process has it.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&, UserDatabase&>> ask(Call call);

    const std::string service_;
    Events& events_;
    mutable std::mutex files_mutex_;
    std::shared_ptr<const TunnelFiles> files_;  ///< Under its mutex.
    const std::unique_ptr<UserDatabase> database_;
    HelperThreads database_thread_{1};
};

}  // namespace instancer::daemon
