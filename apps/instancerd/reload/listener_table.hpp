// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>

#include <instancer/acceptor.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

using Acceptors = std::vector<std::unique_ptr<Acceptor>>;

/// Where the services of a daemon listen, so that a service that takes the place of another one, or its address, shares
/// the listening sockets, and no client is refused in between.
///
/// Threads: the control executor.
class ListenerTable {
public:
    /// Acceptors on `control` are listed; without it, none are.
    void list_on(const asio::any_io_executor& control) { control_ = control; }

    /// Addresses that are opened from now on are those of `service`. It shares what was opened before, but for the
    /// sockets of `kept` services.
    void open_for(std::string service, std::set<std::string> kept)
    {
        service_ = std::move(service);
        kept_ = std::move(kept);
        newest_ = last_group_;
        shared_.clear();
    }

    /// Acceptors of the sockets that a running service has at that address, once for each time that it has it; none
    /// where there is no such service. The error names the address.
    std::optional<Parsed<Acceptors>> share(const asio::any_io_executor& executor, const Address& address);

    /// Lists them for as long as they listen.
    Acceptors add(const asio::any_io_executor& executor, const Address& address, Acceptors acceptors);

private:
    class Listed;

    /// What was opened together.
    class Entry {
    public:
        Entry(std::string owner, std::string place, std::size_t number, Acceptor& at)
            : service(std::move(owner)), address(std::move(place)), group(number), acceptor(&at)
        {
        }

        std::string service, address;
        std::size_t group;
        Acceptor* acceptor;
    };
    using Entries = std::vector<Entry>;

    /// Which of the listening sockets it is: a port that the system chooses is another one for each service.
    std::string key_of(const Address& address) const;

    bool lists(const asio::any_io_executor& executor) const { return control_ && executor == control_; }

    asio::any_io_executor control_;
    std::string service_;
    std::set<std::string> kept_;
    std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();
    std::size_t last_group_ = 0;
    std::size_t newest_ = 0;        ///< Of the groups that may be shared.
    std::set<std::size_t> shared_;  ///< Of these, those that are so already.
};

}  // namespace instancer::daemon
