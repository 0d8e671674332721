// SPDX-License-Identifier: MIT
#include "proof/proof_gate.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "daemon/system.hpp"
#include "observe/log.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

namespace {

bool starts_instances(const ServiceSettings& service) { return includes(Scope::instances, scope_of(service.mode)); }

std::string description_of(const PriceChange& change)
{
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(change.now);
    return (time == time.zero() ? "no proof of work is asked for now"
                                : "a proof of work now takes " + print_duration(time) + " of a solver's time") +
           ": " + change.why;
}

std::shared_ptr<BypassKey> open_bypass(const std::string& file)
{
    if (file.empty())
        return nullptr;
    auto key = load_bypass(file);
    if (!key)
        throw std::runtime_error(key.error());
    return std::make_shared<BypassKey>(std::move(*key));
}

}  // namespace

Parsed<SignatureBypass> load_bypass(const std::string& file)
{
    const auto pem = read_file(file);
    if (!pem)
        return wrong(pem.error());
    auto bypass = SignatureBypass::from_pem(*pem);
    if (!bypass)
        return wrong(file + ": " + bypass.error().message());
    return std::move(*bypass);
}

ProofGate::ProofGate(asio::any_io_executor control, const ServiceSettings& service, const InstancePool& pool,
                     std::shared_ptr<UnadmittedLimit> unadmitted, Events& events, Log& log)
    : service_(service),
      pool_(pool),
      unadmitted_(std::move(unadmitted)),
      events_(events),
      log_(log),
      bypass_(open_bypass(service.proof.bypass)),
      timer_(std::make_shared<asio::steady_timer>(std::move(control))),
      price_(service.proof.price, std::max(service.proof.most, service.proof.price)),
      failures_(static_cast<std::uint32_t>(std::max<std::size_t>(price_.steps(), 1)), failure_remembered)
{
    if (service.proof.is_adaptive())
        watch_load();
}

void ProofGate::add_to(ServerOptions& server, std::shared_ptr<ProofQueue> queue)
{
    const bool at_start = starts_instances(service_) && service_.proof.of == ProofFor::start;
    auto& stages = at_start ? server.start_stages : server.stages;
    stages.push_back(std::make_shared<ProofStage>(options(std::move(queue))));
}

std::optional<Parsed<SignatureBypass>> ProofGate::read_bypass() const
{
    if (!bypass_)
        return std::nullopt;
    return load_bypass(service_.proof.bypass);
}

void ProofGate::use_bypass(Parsed<SignatureBypass> key)
{
    if (!key) {
        log_.warning(service_.name, key.error() + "; the key of health checks stays as it was");
        return;
    }
    bypass_->replace(std::move(*key));
    log_.notice(service_.name, "read the key of health checks from " + service_.proof.bypass);
}

void ProofGate::session_ended(const SessionSummary& summary)
{
    if (summary.service != service_.name || !summary.rejected)
        return;
    const std::lock_guard lock(mutex_);
    failures_.note(source_of(summary.client), Clock::now());
}

ProofOptions ProofGate::options(std::shared_ptr<ProofQueue> queue)
{
    ProofOptions options;
    options.queue = std::move(queue);
    options.style = service_.proof.style;
    options.price = [this](const ClientInfo& client) { return price_for(client); };
    options.timeout = service_.proof.timeout;
    options.report = [this](ProofStep step) { events_.proof(service_.name, step); };
    options.source_prefix = service_.source_prefix;
    options.source_prefix4 = service_.source_prefix4;
    if (const auto places = service_.proof.max_proving)
        options.places = std::make_shared<PlaceBudget>(places, service_.source_prefix, service_.source_prefix4);
    if (bypass_)
        options.bypass = [key = bypass_](std::string_view challenge, std::string_view answer) {
            return key->verify(challenge, answer);
        };
    return options;
}

AdaptivePrice::Seconds ProofGate::price_for(const ClientInfo& client)
{
    const std::lock_guard lock(mutex_);
    return price_.price(failures_.recent(source_of(client), Clock::now()));
}

void ProofGate::watch_load()
{
    timer_->expires_after(interval);
    timer_->async_wait([this, timer = std::weak_ptr(timer_)](const asio::error_code&) {
        // It may have been due already when the gate went.
        if (timer.expired())
            return;
        update_price();
        watch_load();
    });
}

void ProofGate::update_price()
{
    ServiceLoad load;
    if (starts_instances(service_))
        static_cast<PoolLoad&>(load) = pool_.load();
    load.unadmitted = unadmitted_->count();
    load.max_unadmitted = unadmitted_->limit();
    std::unique_lock lock(mutex_);
    const auto change = price_.update(load, Clock::now());
    lock.unlock();
    if (change)
        log_.notice(service_.name, description_of(*change));
}

}  // namespace instancer::daemon
