// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/instance_backend.hpp>
#include <instancer/workers.hpp>

namespace instancer::daemon {

/// A backend that another one can take the place of: new instances are the other one's, and each instance stays with
/// the backend that started it, which goes some time after its last instance.
///
/// Threads: as those of InstanceBackend.
class ReplaceableBackend final : public InstanceBackend {
public:
    /// `recovers`: whether it looks for what a previous run left.
    ReplaceableBackend(Workers& workers, std::unique_ptr<InstanceBackend> first, bool recovers);
    ~ReplaceableBackend() override;

    /// Whether `other` can take the place: the pool asks for the traits only once.
    bool is_like(const InstanceBackend& other) const;

    /// Starts new instances by `next`, which is prepared.
    void replace(std::unique_ptr<InstanceBackend> next);

private:
    using BackendPtr = std::shared_ptr<InstanceBackend>;
    using Backends = std::vector<BackendPtr>;

    /// An instance, and the backend that it belongs to.
    class Owned;

    static Instance owned_by(const BackendPtr& backend, Instance instance);
    static asio::awaitable<void> remove_unused(Workers& workers, std::shared_ptr<Backends> backends);

    void remove_unused_soon();

    BackendTraits do_traits() const override { return traits_; }
    asio::awaitable<Result<void>> do_prepare() override { return backends_->back()->prepare(); }
    void do_interrupt() override;
    asio::awaitable<Result<Instance>> do_start(InstanceRequest request) override;
    asio::awaitable<Result<Stream>> do_open(Instance instance, OpenRequest request) override;
    asio::any_io_executor do_preferred_executor(const Instance& instance) const override;
    asio::awaitable<InstanceExit> do_wait(Instance instance) override;
    asio::awaitable<Result<void>> do_stop(Instance instance) override;
    asio::awaitable<Result<void>> do_assign(Instance instance, Identity identity) override;
    asio::awaitable<Result<void>> do_personalize(Instance instance, InstanceRequest request) override;
    asio::awaitable<Result<void>> do_note_extension(Instance instance, std::chrono::seconds total) override;
    asio::awaitable<Result<std::vector<OrphanInstance>>> do_recover(std::string service) override;
    asio::awaitable<std::string> do_diagnose(Instance instance) override;

    Workers& workers_;
    const BackendTraits traits_;
    const bool recovers_;
    const std::shared_ptr<Backends> backends_;  ///< The last one starts instances.
};

}  // namespace instancer::daemon
