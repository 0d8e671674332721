// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/tunnel/tunnel_server.hpp>

#include "control/control_port.hpp"
#include "modes/tunnel/tunnel_users.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// The commands of a tunnel's control port, with the answers of the original.
class TunnelCommands final : public ControlCommands {
public:
    /// `home` is where `tunnel` lives.
    ///
    /// Lifetime: all of them must outlive this.
    TunnelCommands(std::string service, TunnelServer& tunnel, asio::any_io_executor home, TunnelUsers& users, Log& log);

    asio::awaitable<ControlReply> obey(std::string line) override;

private:
    asio::awaitable<std::string> list_sessions();
    asio::awaitable<std::string> disconnect(std::string address);
    asio::awaitable<std::string> set_userip(std::vector<std::string> arguments);
    std::string set_loglvl(const std::vector<std::string>& arguments);

    const std::string service_;
    TunnelServer& tunnel_;
    const asio::any_io_executor home_;
    TunnelUsers& users_;
    Log& log_;
};

}  // namespace instancer::daemon
