// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include "crowd/ban_file.hpp"
#include "crowd/crowd.hpp"
#include "daemon/system.hpp"

namespace instancer::daemon {

namespace {

/// Whether clients need not say who they are.
bool admits_anybody(const ServiceSettings& service) { return !has_line(service.auth) && service.auth != Auth::token; }

/// Whether nothing is asked of clients that they could get wrong.
bool asks_nothing(const Checker& checker)
{
    const auto& service = checker.service;
    if (service.proof.is_asked())
        return false;
    if (service.mode == Mode::forward)
        return true;
    return includes(Scope::instances, scope_of(service.mode)) && admits_anybody(service);
}

/// Whether some limit is long enough to warn of it.
bool warns_of_something(const ServiceSettings& service)
{
    const auto& pool = service.pool;
    const auto longest = std::max<PoolOptions::Duration>(
        {pool.ttl, pool.idle, service.session_timeout, service.session_idle, service.half_close_timeout});
    return longest > pool.warn_before;
}

void check_warning(Checker& checker)
{
    const auto& pool = checker.service.pool;
    if (pool.warn_before == pool.warn_before.zero())
        return;
    if (pool.ttl != pool.ttl.zero() && pool.warn_before >= pool.ttl)
        checker.refuse("warn-before", "is not shorter than " + checker.say("ttl") + "; lower it or raise that");
    else if (!warns_of_something(checker.service))
        checker.refuse("warn-before", "is not shorter than any limit of time of a session; lower it, or add " +
                                          checker.say("ttl", "DURATION"));
}

void check_ban_file(Checker& checker)
{
    const auto& file = checker.service.crowd.ban_file;
    if (file.empty())
        return;
    if (const auto bans = load_bans(file); !bans)
        checker.refuse("ban-file", bans.error());
    const auto directory = std::filesystem::path(file).parent_path().string();
    if (const auto usable = check_writable_directory(directory); !usable)
        checker.refuse("ban-file", usable.error());
    const auto& services = checker.settings.services;
    const auto other = std::find_if(services.begin(), services.end(), [&](const ServiceSettings& service) {
        return service.name != checker.service.name && service.crowd.ban_file == file;
    });
    if (other != services.end())
        checker.refuse("ban-file", file + " is that of service " + other->name + " as well; name one for each");
}

}  // namespace

void check_crowd(Checker& checker)
{
    const auto& service = checker.service;
    if (!service.crowd.ban_after.unlimited() && asks_nothing(checker))
        checker.refuse("ban-after", "bans nobody where nothing is asked of clients; add " +
                                        (service.mode == Mode::forward ? std::string("a proof of work")
                                                                       : checker.say("auth", "prompt")) +
                                        ", or remove this");
    if (service.crowd.max_authenticating != 0 && admits_anybody(service))
        checker.refuse("max-authenticating", "counts nobody where clients need not say who they are; add " +
                                                 checker.say("auth", "prompt") + ", or remove this");
    check_warning(checker);
    check_ban_file(checker);
}

}  // namespace instancer::daemon
