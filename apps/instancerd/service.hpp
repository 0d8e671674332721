// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/authenticator/token.hpp>
#include <instancer/bridge.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/server.hpp>
#include <instancer/workers.hpp>

#include "listen.hpp"
#include "log.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// One service as it runs: the library's objects, put together as the settings say.
///
/// Threads: the control executor of the workers.
class Service {
public:
    /// `acceptors` listen already. `tokens` are used with Auth::token alone.
    Service(const Settings& settings, const ServiceSettings& service, Workers& workers, Acceptors acceptors,
            std::vector<Token> tokens, std::shared_ptr<InstanceBudget> budget, Log& log);

    /// Serves until drained or stopped.
    asio::awaitable<Result<void>> run() { return server_->run(); }

    void drain() { server_->drain(drain_timeout_); }
    void stop() { server_->stop(); }

    /// Reads the token file again. When it cannot be used, the tokens stay as they are.
    void reload_tokens();

    /// Logs every instance.
    void report();

    const std::string& name() const noexcept { return name_; }

private:
    std::unique_ptr<Authenticator> make_authenticator(const ServiceSettings& service, std::vector<Token> tokens);

    std::string name_;
    std::string tokens_file_;
    std::chrono::milliseconds drain_timeout_;
    Log& log_;
    std::unique_ptr<InstanceBackend> backend_;
    std::unique_ptr<InstancePool> pool_;
    std::unique_ptr<Bridge> bridge_;
    TokenAuthenticator* tokens_ = nullptr;  ///< The server's authenticator, if it is one.
    std::unique_ptr<Server> server_;
};

}  // namespace instancer::daemon
