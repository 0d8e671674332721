// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <instancer/admission/fair_places.hpp>
#include <instancer/authenticator/token_verifier.hpp>
#include <instancer/events.hpp>

#include "authentication/web/admission_cache.hpp"
#include "authentication/web/circuit_breaker.hpp"
#include "authentication/web/web_address.hpp"
#include "authentication/web/web_client.hpp"
#include "authentication/web/web_dialect.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// Asks a web server whose a token is, and remembers whom it has admitted.
class WebVerifier final : public TokenVerifier {
public:
    static constexpr std::size_t max_line = 4096;  ///< Bytes of a line at most.

    /// All must outlive it; the address in the settings of `service` is right.
    WebVerifier(const ServiceSettings& service, const WebDialect& dialect, Events& events);

private:
    static constexpr std::size_t place_count = 8;  ///< Requests at once; a guess.

    asio::awaitable<Result<Admission>> do_verify(std::string line, const ClientInfo& client) override;

    Digest key_of(std::string_view line, const ClientInfo& client) const;
    std::optional<Admission> remembered(const Digest& key);
    bool may_ask();

    /// What an answer means for instances of the service.
    WebVerdict judge(const WebReply& reply, std::string_view line) const;

    Result<Admission> conclude(const Digest& key, const WebVerdict& verdict, const Source& source);
    Result<Admission> without_answer(const Digest& key, const std::string& why);
    void note_failure(const std::string& why, const Source& source);
    void note_success();

    const ServiceSettings& service_;
    const WebDialect& dialect_;
    const WebSettings& settings_;
    const WebAddress address_;
    Events& events_;
    WebClient client_;
    FairPlaces places_{place_count};
    std::mutex mutex_;  ///< Of the next two.
    AdmissionCache cache_;
    CircuitBreaker breaker_;
};

}  // namespace instancer::daemon
