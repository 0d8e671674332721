// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

#include "docker_bridge_network.hpp"
#include "docker_claim.hpp"
#include "docker_engine.hpp"
#include "docker_network.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

/// What is known once the engine and the image have been asked.
class Prepared {
public:
    ImageFacts image;
    std::uint16_t port = 0;
    Reach reach = Reach::inside;
    nlohmann::json spec;
    std::string config;

    Prepared() = default;
};

/// Finds out from the engine, and makes with it, what all containers of a service have in common.
///
/// Threads: any; `get` blocks, for as long as a pull takes.
class DockerPreparation {
public:
    /// Lifetime: what is passed by reference must outlive it.
    DockerPreparation(DockerEngine& engine, DockerBridgeNetwork& network, const DockerOptions& options,
                      std::string service, Events& events)
        : engine_(engine),
          pulls_(options.engine),
          network_(network),
          options_(options),
          service_(std::move(service)),
          events_(events),
          claim_(DockerClaim::shared(options))
    {
    }

    /// Does it, or hands out what was found the last time; an image that has been rebuilt since is taken up.
    ///
    /// Errors: Errc::bad_request, with the remedy; Errc::backend_unavailable.
    Result<std::shared_ptr<const Prepared>> get();

    /// The image or the network is gone: the next `get` looks again.
    void forget() noexcept { outdated_ = true; }

    /// Interrupts a pull and the watching of another's claim, and lets later ones fail.
    void stop()
    {
        stopped_ = true;
        pulls_.stop();
    }

    /// Puts the firewall rule of the containers' network back if it has gone, and says so. Blocks.
    void restore_firewall();

    /// Whether containers are, or were, on a network of their own.
    bool has_network() const noexcept { return network_made_; }

    /// Who has taken the daemon's name over; empty when nobody has.
    std::string lost() const { return claim_->lost(); }

    /// Gives up its share of the claim on the daemon's name.
    std::shared_ptr<DockerClaim> release_claim() { return std::move(claim_); }

private:
    std::shared_ptr<const Prepared> known() const;
    void publish(std::shared_ptr<const Prepared> prepared);
    std::shared_ptr<const Prepared> renewed(std::shared_ptr<const Prepared> old, ImageFacts image);
    Result<std::shared_ptr<const Prepared>> make(ImageFacts image, Reach reach);
    Result<EngineReply> inspect_image();
    Result<ImageFacts> find_image();
    Result<void> pull();
    Result<Reach> prepare_network();
    void warn_of_firewall();
    Result<void> try_out(const Prepared& prepared);

    DockerEngine& engine_;
    DockerEngine pulls_;  ///< What a pull speaks through.
    DockerBridgeNetwork& network_;
    const DockerOptions& options_;
    const std::string service_;
    Events& events_;
    std::shared_ptr<DockerClaim> claim_;
    std::mutex mutex_;                ///< Held while the engine works.
    mutable std::mutex known_mutex_;  ///< Held for an instant.
    std::shared_ptr<const Prepared> prepared_;
    std::string unusable_;  ///< The id of an image that cannot take the place of the one before.
    std::atomic<bool> stopped_ = false;
    std::atomic<bool> outdated_ = false;  ///< `prepared_` must be made again.
    std::atomic<bool> network_made_ = false;
};

}  // namespace instancer::detail::inline docker
