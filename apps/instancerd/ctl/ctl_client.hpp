// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ctl/ctl_settings.hpp"

namespace instancer::daemon {

/// The answer of a daemon.
class CtlAnswer {
public:
    int status = 0;    ///< 0: there is no daemon, or it hung up.
    std::string body;  ///< Then why that is, and the remedy.

    CtlAnswer() = default;
};

/// Asks a daemon by HTTP, one question a connection.
class CtlClient {
public:
    /// The error says why the token cannot be read.
    static Parsed<CtlClient> make(const CtlSettings& settings);

    CtlAnswer get(const std::string& path) const;

    /// `body` is JSON; empty for none.
    CtlAnswer post(const std::string& path, const std::string& body) const;

    /// Calls `line` with each line of an answer as it comes, until that ends or `line` returns false. The answer has a
    /// body where it is a refusal.
    CtlAnswer follow(const std::string& path, const std::function<bool(const std::string&)>& line) const;

private:
    explicit CtlClient(const CtlSettings& settings) : settings_(settings) {}

    const CtlSettings& settings_;
    std::string token_;
};

}  // namespace instancer::daemon
