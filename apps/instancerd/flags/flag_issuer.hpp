// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>

#include <instancer/flag_template.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>

#include "authentication/owners.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// The key in a file: all that it holds before its last line end, or the bytes that stand there in hexadecimal after
/// `hex:`.
Parsed<std::string> load_flag_key(const std::string& file);

/// Makes the flags of one service.
///
/// Threads: any.
class FlagIssuer {
public:
    /// Errors: when the key cannot be read.
    static Parsed<FlagIssuer> load(const ServiceSettings& service);

    std::string flag_of(const Identity& identity) const
    {
        return template_.flag(key_, service_, identity, settings_.scope);
    }

    /// The flag for the client of whom `request` tells, once it has been logged.
    Result<std::string> issue(const InstanceRequest& request) const;

    /// Another one when flags are made in another way.
    std::string version() const;

private:
    FlagIssuer(const ServiceSettings& service, FlagTemplate flag_template, std::string key);

    /// What the owner is called; empty when nobody said.
    std::string label_of(const InstanceRequest& request) const;

    std::string service_;
    FlagSettings settings_;
    FlagTemplate template_;
    std::string key_;
    Owners listed_;  ///< As the file of tokens had them at the start.
};

}  // namespace instancer::daemon
