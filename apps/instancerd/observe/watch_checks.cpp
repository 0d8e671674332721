// SPDX-License-Identifier: MIT
#include "observe/watch.hpp"

#include "config/checker.hpp"
#include "daemon/system.hpp"

namespace instancer::daemon {

void check_watch(const Settings& settings, Problems& problems)
{
    const auto refuse = [&](std::string_view option, const std::string& text) {
        problems.emplace_back(place_of(settings, option), text);
    };
    const auto& file = settings.watch.access_log;
    if (!file.empty() && file == settings.log_file)
        refuse("access-log", "is the file of the log; name another one");
    if (!file.empty() && is_directory(file))
        refuse("access-log", file + " is a directory; name a file in it");
    const auto& metrics = settings.watch.metrics;
    if (metrics && (metrics->is_abstract() || metrics->kind() == Address::Kind::inherited))
        refuse("metrics", "cannot be on " + metrics->text() + "; write host:port or unix:/path");
}

}  // namespace instancer::daemon
