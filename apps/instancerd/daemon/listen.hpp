// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <sys/types.h>

#include <instancer/acceptor.hpp>
#include <instancer/unique_fd.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// The sockets that a service manager passed to this process, by name.
///
/// As `sd_listen_fds(3)` says; the environment variables are removed, so that no child takes them for its own.
class InheritedSockets {
public:
    InheritedSockets();

    /// Gives away all sockets of that name.
    std::vector<instancer::UniqueFd> take(const std::string& name);

    /// The names of those that nobody took.
    std::vector<std::string> left() const;

private:
    std::map<std::string, std::vector<instancer::UniqueFd>> sockets_;
};

using Acceptors = std::vector<std::unique_ptr<Acceptor>>;

/// Listens on `address`: on all that it stands for. The error names the address and the remedy.
Parsed<Acceptors> listen_on(const asio::any_io_executor& executor, const Address& address, mode_t unix_mode,
                            InheritedSockets& inherited);

/// A socket that at most one live process on this machine has for a given name of a daemon.
Parsed<instancer::UniqueFd> claim_name(const std::string& name);

}  // namespace instancer::daemon
