// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <instancer/acceptor.hpp>
#include <instancer/acceptor/unix_permissions.hpp>
#include <instancer/unique_fd.hpp>

#include "config/settings.hpp"
#include "reload/listener_table.hpp"

namespace instancer::daemon {

/// The sockets that were there before a service listens: those that a service manager passed to this process, by name,
/// and those of services that run.
///
/// As `sd_listen_fds(3)` says; the environment variables are removed, so that no child takes them for its own.
/// Threads: the control executor.
class InheritedSockets {
public:
    InheritedSockets();

    /// Those that running services have on `control` from now on.
    void list_on(const asio::any_io_executor& control) { listeners_.list_on(control); }

    /// Addresses that are opened from now on are those of `service`; those of `kept` services are not shared.
    void open_for(const std::string& service, std::set<std::string> kept = {})
    {
        listeners_.open_for(service, std::move(kept));
    }

    ListenerTable& listeners() noexcept { return listeners_; }

    /// Gives away all sockets of that name.
    std::vector<instancer::UniqueFd> take(const std::string& name);

    /// The names of those that nobody took.
    std::vector<std::string> left() const;

private:
    std::map<std::string, std::vector<instancer::UniqueFd>> sockets_;
    ListenerTable listeners_;
};

/// Who may connect to the Unix sockets of `service`. The error says which user or group is unknown.
Parsed<UnixPermissions> unix_permissions_of(const ServiceSettings& service);

/// Listens on `address`: on all that it stands for. The error names the address and the remedy.
Parsed<Acceptors> listen_on(const asio::any_io_executor& executor, const Address& address,
                            const UnixPermissions& permissions, InheritedSockets& inherited);

/// Listens on all addresses of `service`.
Parsed<Acceptors> listen_on_all(const asio::any_io_executor& executor, const ServiceSettings& service,
                                InheritedSockets& inherited);

/// Adds those that were opened, or says why they were not.
Parsed<void> append(Acceptors& to, Parsed<Acceptors> opened);

/// A socket that at most one live process on this machine has for a given name of a daemon.
Parsed<instancer::UniqueFd> claim_name(const std::string& name);

}  // namespace instancer::daemon
