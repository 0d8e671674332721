// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include <asio/awaitable.hpp>

#include <instancer/relay/relay_authenticator.hpp>
#include <instancer/relay/relay_backend.hpp>

#include "control/control_port.hpp"
#include "daemon/instance_service.hpp"
#include "modes/relay/relay_commands.hpp"
#include "modes/relay/relay_log.hpp"

namespace instancer::daemon {

/// A relay with its control prompt, which is on its port, or else on the terminal.
///
/// Threads: the control executor of the workers.
class RelayService final : public RunningService {
public:
    /// `control` listens for the prompt; it may be empty.
    RelayService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts,
                 std::string authentication, Acceptors control);

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override { service_.drain(); }
    void stop() override { service_.stop(); }
    asio::awaitable<void> reload(HelperThreads& reader) override;
    ServiceGauges gauges() const override { return service_.gauges(); }
    std::vector<ServicePart> parts() override { return service_.parts(); }
    BanKeeper* bans() override { return service_.bans(); }

private:
    static RelayBackend& add_channels(const ServiceSettings& service, Workers& workers, InstanceParts& parts,
                                      RelayLog& log);

    void open_prompt();
    void set_log_level(unsigned verbosity);

    const asio::any_io_executor control_;
    Log& log_;
    RelayLog relay_log_;
    RelayBackend& channels_;
    RelayAuthenticator& authenticator_;
    InstanceService service_;
    RelayCommands commands_;
    Acceptors control_acceptors_;
    ControlPort prompt_;
};

}  // namespace instancer::daemon
