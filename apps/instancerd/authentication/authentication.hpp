// SPDX-License-Identifier: MIT
// How clients are told apart: the Authenticator of a service, and the files that it lives on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <instancer/authenticator.hpp>
#include <instancer/events.hpp>

#include "authentication/owners.hpp"
#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer {

class InstancePool;

}  // namespace instancer

namespace instancer::daemon {

class Log;

/// The Authenticator of one service, with the files that it lives on.
///
/// Threads: the control executor, if not said otherwise.
class Authentication {
public:
    /// What the files hold now, before it is in force.
    class Reading {
    public:
        /// `apply` puts it in force.
        Reading(std::string source, Owners known, std::function<void()> use)
            : text(std::move(source)), owners(std::move(known)), apply(std::move(use))
        {
        }

        std::string text;    ///< What was read, and from where.
        std::string remark;  ///< What is right, and perhaps not meant; often nothing.
        Owners owners;
        std::function<void()> apply;
    };
    using Read = std::function<Parsed<Reading>()>;

    /// Without files.
    explicit Authentication(std::unique_ptr<Authenticator> authenticator)
        : Authentication(std::move(authenticator), {}, {})
    {
    }

    /// `read` may be called on any thread, and what it returns changes `authenticator`. `what` stands in the files.
    Authentication(std::unique_ptr<Authenticator> authenticator, std::string what, Read read)
        : authenticator_(std::move(authenticator)), what_(std::move(what)), read_(std::move(read))
    {
    }

    /// Once. It must live as long as files are read again.
    std::unique_ptr<Authenticator> take_authenticator() { return std::move(authenticator_); }

    /// What the files hold; none where there are no files.
    ///
    /// Threads: any.
    std::optional<Parsed<Reading>> read() const { return read_ ? std::optional(read_()) : std::nullopt; }

    /// Puts it in force. Returns the owners that it knows no more.
    Owners apply(Reading reading);

    const std::string& what() const noexcept { return what_; }
    const Owners& owners() const noexcept { return owners_; }

private:
    std::unique_ptr<Authenticator> authenticator_;
    std::string what_;
    Read read_;
    Owners owners_;
};

/// Builds what the settings ask for, of what its files hold. Both must outlive the result.
Parsed<Authentication> open_authentication(const ServiceSettings& service, Events& events);

/// Uses what was read again, if it is right, and deals with the instances of owners that are no longer known.
void reload_authentication(Authentication& authentication, Parsed<Authentication::Reading> reading,
                           const ServiceSettings& service, InstancePool& pool, Log& log);

}  // namespace instancer::daemon
