// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <instancer/client.hpp>
#include <instancer/environment.hpp>
#include <instancer/identity.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

/// A handle to one server instance. Copies name the same instance; the last copy to go does not stop it.
class Instance {
public:
    /// What a backend remembers of an instance; a backend derives from it.
    class State {
    public:
        virtual ~State() = default;
    };

    Instance() = default;
    /// An instance that logs call `name`, with what its backend remembers of it.
    Instance(std::string name, std::shared_ptr<State> state)
        : shared_(std::make_shared<const Shared>(std::move(name), std::move(state)))
    {
    }

    /// Whether it names an instance at all.
    explicit operator bool() const noexcept { return shared_ != nullptr; }

    /// For logs: a process id, a container name. Empty without an instance.
    const std::string& name() const noexcept
    {
        static const std::string nobody;
        return shared_ ? shared_->name : nobody;
    }

    /// The backend's own state. `T` must be what the backend made.
    template <class T>
    T& state() const noexcept
    {
        return static_cast<T&>(*shared_->state);
    }

    /// The same, to keep it alive beyond the handle.
    template <class T>
    std::shared_ptr<T> shared_state() const noexcept
    {
        return std::static_pointer_cast<T>(shared_->state);
    }

private:
    struct Shared {
        Shared(std::string text, std::shared_ptr<State> own) : name(std::move(text)), state(std::move(own)) {}

        std::string name;
        std::shared_ptr<State> state;
    };

    std::shared_ptr<const Shared> shared_;
};

/// What `InstanceBackend::start` is asked for. A warm instance is started for nobody yet: no identity, no client.
class InstanceRequest {
public:
    InstanceRequest() = default;
    /// A warm instance.
    explicit InstanceRequest(std::string service) : service_(std::move(service)) {}
    /// An instance for a client.
    InstanceRequest(std::string service, const Identity& identity, ClientInfo client)
        : service_(std::move(service)), identity_(identity), client_(std::move(client))
    {
    }

    /// The service that it is for.
    const std::string& service() const noexcept { return service_; }
    /// Its owner; none for a warm one.
    const std::optional<Identity>& identity() const noexcept { return identity_; }
    /// The client that asked for it; none for a warm one.
    const std::optional<ClientInfo>& client() const noexcept { return client_; }

    /// Its name in logs; empty when none was set.
    const std::string& label() const noexcept { return label_; }
    /// Sets the label.
    InstanceRequest& label(std::string text)
    {
        label_ = std::move(text);
        return *this;
    }

    /// Variables for its environment, which count for more than those that the backend has for all instances.
    const Environment& environment() const noexcept { return environment_; }
    /// Sets the variables.
    InstanceRequest& environment(Environment variables)
    {
        environment_ = std::move(variables);
        return *this;
    }

    /// The client's own socket, for a backend that hands it over (`BackendTraits::takes_client_socket`).
    UniqueFd& client_socket() noexcept { return client_socket_; }

private:
    std::string service_;
    std::optional<Identity> identity_;
    std::optional<ClientInfo> client_;
    std::string label_;
    Environment environment_;
    UniqueFd client_socket_;
};

/// How an instance ended, in words for the operator.
class InstanceExit {
public:
    InstanceExit() = default;
    /// Ended as `text` says.
    explicit InstanceExit(std::string text) : text_(std::move(text)) {}

    /// `exit code 1`, `signal 9`, `container removed`; output that explains it may follow on further lines.
    const std::string& text() const noexcept { return text_; }

private:
    std::string text_ = "ended";
};

/// An instance that a previous run of the program left behind.
class OrphanInstance {
public:
    /// The instance of `identity`, which has had it for `age`.
    OrphanInstance(Instance instance, const Identity& identity, std::chrono::seconds age)
        : instance_(std::move(instance)), identity_(identity), age_(age)
    {
    }

    /// The instance itself.
    const Instance& instance() const noexcept { return instance_; }
    /// Its owner.
    const Identity& identity() const noexcept { return identity_; }

    /// Since when it has had its owner.
    std::chrono::seconds age() const noexcept { return age_; }

    /// How much its time to live was extended.
    std::chrono::seconds extended() const noexcept { return extended_; }
    /// Sets how much its time to live was extended.
    OrphanInstance& extended(std::chrono::seconds value) noexcept
    {
        extended_ = value;
        return *this;
    }

private:
    Instance instance_;
    Identity identity_;
    std::chrono::seconds age_;
    std::chrono::seconds extended_{0};
};

}  // namespace instancer
