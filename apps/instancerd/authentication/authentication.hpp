// SPDX-License-Identifier: MIT
// How clients are told apart: the Authenticator of a service, and the files that it lives on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
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

    /// Puts it in force. Returns the owners that it knows no more. Of those that went earlier the names of `present`
    /// ones are kept.
    Owners apply(Reading reading, const std::set<std::string>& present = {});

    const std::string& what() const noexcept { return what_; }
    const Owners& owners() const noexcept { return owners_; }

    /// The same, with those that it knows no more and that may have sessions or instances yet.
    Owners named_owners() const;

private:
    std::unique_ptr<Authenticator> authenticator_;
    std::string what_;
    Read read_;
    Owners owners_;
    Owners leaving_;  ///< Those that it knows no more and that may have sessions or instances yet.
};

/// Builds what the settings ask for, of what its files hold. Both must outlive the result.
Parsed<Authentication> open_authentication(const ServiceSettings& service, Events& events);

/// Uses what was read again, if it is right, and deals with the instances of owners that are no longer known.
/// `present`: the owners that have sessions or instances, by their hash.
void reload_authentication(Authentication& authentication, Parsed<Authentication::Reading> reading,
                           const std::set<std::string>& present, const ServiceSettings& service, InstancePool& pool,
                           Log& log);

}  // namespace instancer::daemon
