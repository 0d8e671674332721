// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/place_budget.hpp>
#include <instancer/admission/stage.hpp>
#include <instancer/client_texts.hpp>

namespace instancer {

/// Limits of time are kept to a quarter of the shortest of them, and to a second at worst; 0 means no limit.
class ServerOptions {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    std::string service;  ///< Part of every identity.
    /// How long a client may take to say who it is: in all stages together that have no deadline of their own.
    Duration auth_timeout = std::chrono::seconds(10);
    Duration session_idle{0};        ///< Without a byte in either direction.
    Duration half_close_timeout{0};  ///< After the end of one direction.
    Duration session_timeout{0};     ///< From the connection on.
    /// How long a client may take none of the last bytes of an instance that has ended. The default is near the time
    /// after which Linux gives up the connection of a server that has ended.
    Duration delivery_timeout = std::chrono::seconds(100);
    unsigned source_prefix = 64;                  ///< IPv6 clients that share so many bits count as one address.
    unsigned source_prefix4 = 32;                 ///< IPv4 clients that share so many bits count as one address.
    std::shared_ptr<UnadmittedLimit> unadmitted;  ///< Where clients take places until they are admitted; may be null.
    /// The places that clients take until they are admitted; may be null.
    std::shared_ptr<PlaceBudget> authenticating;
    /// Texts for clients that wait or are refused. Null: they get no byte but those of authenticators and stages.
    std::shared_ptr<const ClientTexts> tell;
    /// The text for clients at `PoolOptions::warn_before`, and at `warn_before` for the limits above, `{wait}` before
    /// the end. Empty: they get none.
    std::string warning;
    std::string idle_warning;  ///< The same before an end that the next byte puts off.
    Duration warn_before{0};   ///< How long before their end by these limits, or by a drain, sessions are told.
    /// Stages that clients pass, in this order, between their introduction by a proxy and their authentication.
    std::vector<std::shared_ptr<AdmissionStage>> stages;
    /// Stages that clients pass, in this order, after their authentication.
    std::vector<std::shared_ptr<AdmissionStage>> identified_stages;
    /// Stages that come after all others, in this order, only for clients for whom an instance would be started or a
    /// warm one taken: clients that join an instance of theirs pass none of these.
    std::vector<std::shared_ptr<AdmissionStage>> start_stages;

    /// The number of the last session, in servers that count theirs together. Null: of this server alone.
    std::shared_ptr<std::uint64_t> session_count;

    /// The defaults, for the service `name`.
    explicit ServerOptions(std::string name) : service(std::move(name)) {}
};

}  // namespace instancer
