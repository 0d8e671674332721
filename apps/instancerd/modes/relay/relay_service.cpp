// SPDX-License-Identifier: MIT
#include "modes/relay/relay_service.hpp"

#include <exception>
#include <utility>

#include "control/control_terminal.hpp"
#include "modes/relay/relay.hpp"

namespace instancer::daemon {

RelayService::RelayService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts,
                           std::string authentication, Acceptors control)
    : RunningService(settings),
      control_(context.workers.control()),
      log_(context.log),
      relay_log_(name(), settings.service().relay.verbosity, log_),
      channels_(add_channels(settings.service(), context.workers, parts, relay_log_)),
      authenticator_(
          parts.use_authenticator<RelayAuthenticator>(std::move(authentication), settings.service().relay.greeting)),
      service_(settings, context, std::move(parts)),
      commands_(
          service_.server(), channels_, relay_log_, [this](unsigned verbosity) { set_log_level(verbosity); },
          [this] { stop(); }),
      control_acceptors_(std::move(control)),
      prompt_(control_, commands_, 1)
{
}

RelayBackend& RelayService::add_channels(const ServiceSettings& service, Workers& workers, InstanceParts& parts,
                                         RelayLog& log)
{
    parts.pool = RelayBackend::default_pool_options();
    parts.budget = nullptr;
    return parts.use_backend<RelayBackend>(workers, service.relay.channels, log);
}

asio::awaitable<Result<void>> RelayService::run(std::function<void()> serving)
{
    Result<void> result;
    std::exception_ptr thrown;
    try {
        open_prompt();
        auto task = service_.run(std::move(serving));
        result = co_await std::move(task);
    } catch (...) {
        thrown = std::current_exception();
    }
    prompt_.close();
    co_await prompt_.wait_closed();
    if (thrown)
        std::rethrow_exception(thrown);
    co_return result;
}

void RelayService::open_prompt()
{
    if (settings().daemon().file.empty() && control_acceptors_.empty())
        if (auto terminal = open_terminal(control_))
            prompt_.serve(std::move(terminal));
    for (const auto& acceptor : control_acceptors_) {
        log_.notice(name(), "the control prompt is on " + acceptor->address());
        if (!is_local(acceptor->address()))
            log_.warning(name(), "whoever reaches " + acceptor->address() +
                                     " can end every connection; listen on 127.0.0.1 or unix:/path instead");
    }
    prompt_.serve(std::move(control_acceptors_));
}

void RelayService::set_log_level(unsigned verbosity)
{
    // In a configuration the log belongs to other services, too.
    if (settings().daemon().file.empty())
        log_.set_level(log_level_of(verbosity));
}

asio::awaitable<void> RelayService::reload(HelperThreads& reader)
{
    auto common = service_.reload(reader);
    co_await std::move(common);
    const auto& relay = settings().service().relay;
    if (relay.auth_file.empty())
        co_return;
    auto read = [&relay] { return load_authentication(relay); };
    auto call = reader.run(std::move(read));
    auto text = co_await std::move(call);
    if (!text) {
        log_.warning(name(), text.error() + "; the authentication string stays as it was");
        co_return;
    }
    log_.notice(name(), "read the authentication string from " + relay.auth_file);
    authenticator_.set_authentication(std::move(*text));
}

}  // namespace instancer::daemon
