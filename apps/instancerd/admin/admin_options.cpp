// SPDX-License-Identifier: MIT
#include "admin/admin_options.hpp"

#include <algorithm>

#include "config/checker.hpp"
#include "daemon/system.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view group = "Operation";

Parsed<void> add_host(Target to, const std::string& text)
{
    if (text.empty() || text.find_first_of(":/ ") != text.npos)
        return wrong(in_quotes(text) + " is no name of a host; write one without a port, as in admin.example.org");
    to.settings.admin.hosts.push_back(text);
    return {};
}

std::string print_hosts(const View& from) { return joined(from.settings.admin.hosts); }

// clang-format off
constexpr Option table[] = {
    {group, "admin", address<&Settings::admin, &AdminSettings::address>, Scope::daemon, {},
     "where operators ask and steer the daemon by HTTP and instancerd ctl: unix:PATH, which the daemon's user alone "
     "may connect to, or host:port with a token"},
    {group, "admin-token-file", file<&Settings::admin, &AdminSettings::token_file>, Scope::daemon, {},
     "the token that operators must show, in a file that nobody else may read; a port needs one"},
    {group, "admin-host", custom<Shape::list, add_host, print_hosts>.called("NAME"), Scope::daemon, {},
     "a name by which browsers may call the address, besides localhost"},
};
// clang-format on

/// At the top level, or beside a service on the command line.
bool is_given(const Settings& settings, std::string_view option)
{
    return settings.given.contains(option) ||
           std::any_of(settings.services.begin(), settings.services.end(),
                       [option](const ServiceSettings& service) { return service.has(option); });
}

}  // namespace

std::span<const Option> admin_options() { return table; }

Parsed<std::string> read_admin_token(const std::string& file)
{
    constexpr std::size_t least = 16;
    auto text = read_file(file);
    if (!text)
        return text;
    const auto end = text->find_last_not_of(" \t\r\n");
    text->resize(end == text->npos ? 0 : end + 1);
    if (text->size() < least || text->find_first_of(" \t\r\n") != text->npos)
        return wrong(file + " must hold a token of one line, of " + std::to_string(least) +
                     " characters at least; write it by openssl rand -hex 16");
    return text;
}

void check_admin(const Settings& settings, Problems& problems)
{
    const auto& admin = settings.admin;
    const auto refuse = [&](std::string_view option, std::string text) {
        problems.emplace_back(place_of(settings, option), std::move(text));
    };
    if (!admin.address) {
        for (const std::string_view option : {"admin-token-file", "admin-host"})
            if (is_given(settings, option))
                refuse(option, "has no effect without " + settings.say("admin", "unix:/run/instancerd/admin"));
        return;
    }
    if (admin.address->kind() != Address::Kind::unix_socket && admin.token_file.empty())
        refuse("admin", "whoever reaches it could steer the daemon; add " + settings.say("admin-token-file", "FILE") +
                            ", or listen on unix:/run/instancerd/admin");
    if (admin.address->is_abstract())
        refuse("admin", "every user of this machine reaches an abstract socket; write unix:/path");
    if (admin.token_file.empty())
        return;
    if (const auto token = read_admin_token(admin.token_file); !token)
        refuse("admin-token-file", token.error());
    else if (is_readable_by_all(admin.token_file))
        refuse("admin-token-file", "every user of this machine can read " + admin.token_file + "; chmod 0600 it");
}

}  // namespace instancer::daemon
