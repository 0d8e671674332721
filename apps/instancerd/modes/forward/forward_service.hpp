// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/backend/upstream_backend.hpp>

#include "daemon/instance_service.hpp"

namespace instancer::daemon {

/// A service that passes connections on to a group of servers.
///
/// Threads: the control executor of the workers.
class ForwardService final : public RunningService {
public:
    /// `upstreams` come from a file, if the settings name one.
    ForwardService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts,
                   std::vector<Upstream> upstreams);

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override { service_.drain(); }
    void stop() override { service_.stop(); }
    asio::awaitable<void> reload(HelperThreads& reader) override;

    std::vector<ServicePart> parts() override { return service_.parts(); }
    UpstreamBackend* upstreams() override { return &upstreams_; }
    BanKeeper* bans() override { return service_.bans(); }
    void resume() override;

    ServiceGauges gauges() const override;

private:
    void do_retire() override { service_.retire(); }

    static UpstreamBackend& add_upstreams(const OwnedSettings& settings, ServiceContext& context, InstanceParts& parts,
                                          std::vector<Upstream> upstreams);

    asio::awaitable<void> use(Parsed<std::vector<Upstream>> list);
    void note_available(bool available);

    Log& log_;
    UpstreamBackend& upstreams_;
    InstanceService service_;
    bool closed_ = false;  ///< For want of an upstream that works.
};

}  // namespace instancer::daemon
