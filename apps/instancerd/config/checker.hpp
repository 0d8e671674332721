// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "config/problem.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// Where an option was given, or else the service as a whole.
Place place_of(const ServiceSettings& service, std::string_view option);

/// Where an option of the whole daemon was given: in the file, or beside a service on the command line.
Place place_of(const Settings& settings, std::string_view option);

/// One service as its checks see it, and where they complain.
class Checker {
public:
    Checker(const Settings& all, const ServiceSettings& one, Problems& problems)
        : settings(all), service(one), problems_(problems)
    {
    }

    const Settings& settings;
    const ServiceSettings& service;

    bool has(std::string_view option) const { return service.has(option); }
    std::string say(std::string_view option, std::string_view value = {}) const { return settings.say(option, value); }

    /// What lets an instance serve several connections.
    std::string say_several_connections() const
    {
        return service.mode == Mode::exec ? say("io", "port") : say("port", "N");
    }

    /// A problem where `option` was written, or with the service as a whole when it was not.
    void refuse(std::string_view option, std::string text);

    /// What the rows of the table say of it: options without what they need, or with what contradicts them.
    void check_table();

    void check_environment();

private:
    bool follows_from_unread(std::string_view option, std::string_view text) const;

    Problems& problems_;
};

}  // namespace instancer::daemon
