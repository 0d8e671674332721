// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/acceptor.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/client.hpp>

namespace instancer {

/// A client that is being admitted: all that is known of it, and all that the stages have learned.
///
/// Lifetime: the objects that it was made of must outlive it.
/// Threads: those of the session.
class AdmissionContext {
public:
    /// By name.
    using Attributes = Accepted::Attributes;

    /// A client of which an acceptor keeps `slot`, which may be null, and has learned `attributes`.
    explicit AdmissionContext(ClientInfo& client, ConnectionSlot* slot = nullptr, Attributes attributes = {})
        : client_(client), slot_(slot), attributes_(std::move(attributes))
    {
    }
    AdmissionContext(const AdmissionContext&) = delete;
    AdmissionContext& operator=(const AdmissionContext&) = delete;

    /// Where the client comes from. A stage that knows better changes it.
    ClientInfo& client() noexcept { return client_; }
    /// Where the client comes from.
    const ClientInfo& client() const noexcept { return client_; }

    /// The state that the acceptor keeps for the client; may be null.
    ConnectionSlot* slot() const noexcept { return slot_; }

    /// The identity of the client, once a stage has set it.
    const std::optional<Admission>& admission() const noexcept { return admission_; }
    /// Sets the identity of the client. The Authenticator is not asked any more then.
    void admit(Admission admission) { admission_ = std::move(admission); }

    /// When a client that is refused may come back; 0 when nobody knows.
    std::chrono::steady_clock::duration retry_after() const noexcept { return retry_after_; }
    /// Says when. For stages that refuse the client.
    void retry_after(std::chrono::steady_clock::duration wait) noexcept { retry_after_ = wait; }

    /// What stages have learned besides, such as the name of the server that the client wants.
    const Attributes& attributes() const noexcept { return attributes_; }
    /// One attribute; empty when no stage has learned it.
    std::string_view attribute(std::string_view name) const
    {
        const auto found = attributes_.find(name);
        return found == attributes_.end() ? std::string_view() : found->second;
    }
    /// Adds an attribute, or replaces it.
    void attribute(std::string name, std::string value) { attributes_[std::move(name)] = std::move(value); }

private:
    ClientInfo& client_;
    ConnectionSlot* slot_;
    std::optional<Admission> admission_;
    std::chrono::steady_clock::duration retry_after_{0};
    Attributes attributes_;
};

}  // namespace instancer
