// SPDX-License-Identifier: MIT
#include "config/validate.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <ranges>

#include <sys/un.h>
#include <unistd.h>

#include <instancer/backend/unbound_limits.hpp>

#include "admin/admin_options.hpp"
#include "authentication/ways.hpp"
#include "config/checker.hpp"
#include "crowd/crowd.hpp"
#include "daemon/system.hpp"
#include "files/access.hpp"
#include "flags/flags.hpp"
#include "modes/modes.hpp"
#include "observe/watch.hpp"
#include "proof/proof.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

/// Where a service listens, each with the option that says so.
std::vector<Listener> listeners_of(const ServiceSettings& service)
{
    std::vector<Listener> listeners;
    for (const auto& address : service.listen)
        listeners.emplace_back("listen", address);
    if (const auto own = entry_of(service.mode).listeners) {
        const auto further = own(service);
        listeners.insert(listeners.end(), further.begin(), further.end());
    }
    return listeners;
}

void check_listen(Checker& checker)
{
    const auto& service = checker.service;
    if (service.listen.empty())
        checker.refuse("listen", "has no address to listen on; add " + checker.say("listen", ":1337"));
    for (const auto& address : service.listen) {
        if (address.kind() != Address::Kind::unix_socket)
            continue;
        if (address.name().size() >= sizeof sockaddr_un::sun_path)
            checker.refuse("listen", address.name() + " has " + std::to_string(address.name().size()) +
                                         " characters, the path of a Unix socket at most 107; choose a shorter one");
        if (address.is_abstract())
            continue;
        if (const auto parent = std::filesystem::path(address.name()).parent_path(); !is_directory(parent))
            checker.refuse("listen", "there is no directory " + parent.string() + "; create it first");
    }
}

void check_unix_files(Checker& checker)
{
    const auto& service = checker.service;
    const auto listeners = listeners_of(service);
    const bool has_file = std::any_of(listeners.begin(), listeners.end(), [](const auto& listener) {
        // The file of a control port is for the daemon's own user alone.
        return listener.first != "control" && listener.second.has_file();
    });
    for (const auto option : {"unix-mode", "unix-owner", "unix-group"})
        if (checker.has(option) && !has_file && service.reads("listen"))
            checker.refuse(option, "is for the files of Unix sockets only; remove it, or listen on unix:/path");
    if (checker.has("unix-owner"))
        if (const auto owner = find_user_id(service.unix_owner); !owner)
            checker.refuse("unix-owner", owner.error());
    if (checker.has("unix-group"))
        if (const auto group = find_group(service.unix_group); !group)
            checker.refuse("unix-group", group.error());
    for (const auto& [option, address] : listeners)
        if (option == "control" && address.is_abstract())
            checker.refuse(option, address.text() +
                                       " has no permissions, and whoever reaches the prompt may do all that it can; "
                                       "write unix:/path");
}

void check_listen_port(Checker& checker)
{
    const auto& service = checker.service;
    const auto uses = [](const std::string& text) { return text.find("{listen-port}") != text.npos; };
    const auto& command = service.command;
    const auto& env = service.env;
    const bool in_command = std::any_of(command.begin(), command.end(), uses);
    if (!in_command && std::none_of(env.begin(), env.end(), [&](const auto& entry) { return uses(entry.second); }))
        return;
    const auto* const option = in_command ? "command" : "env";
    const auto& listen = service.listen;
    if (service.pool.warm > 0)
        checker.refuse(option, "{listen-port} cannot work together with " + checker.say("warm") +
                                   ": a warm instance starts before it has a client; remove one of them");
    if (std::any_of(listen.begin(), listen.end(),
                    [](const auto& address) { return address.kind() == Address::Kind::unix_socket; }))
        checker.refuse(option, "{listen-port} needs clients that come by TCP; remove it, or listen on ports only");
}

void check_traffic(Checker& checker)
{
    const auto& service = checker.service;
    const auto& record = service.record;
    const bool logs = service.traffic_log.format != TrafficLogFormat::off;
    if (logs && checker.settings.log_level > LogLevel::info)
        checker.refuse("traffic-log", "shows nothing where only warnings and errors are logged; add " +
                                          checker.settings.say("log-level", "info") + " or remove this");
    if (!checker.has("record"))
        return;
    if (const auto usable = check_writable_directory(record.directory); !usable)
        checker.refuse("record", usable.error());
    if (record.total != 0 && checker.has("record-limit") && record.limit > record.total)
        checker.refuse("record-limit", "is more than all recordings may take up together; lower it or raise " +
                                           checker.say("record-total"));
}

void check_access(Checker& checker)
{
    const auto& service = checker.service;
    if (checker.has("allow") && service.reads("allow") &&
        std::none_of(service.access.begin(), service.access.end(), [](const auto& rule) { return rule.allow; }))
        checker.refuse("allow", "holds no rule, so that everybody may connect; write one, or remove this");
    if (!service.access_file.empty())
        if (const auto rules = load_access(service.access_file); !rules)
            checker.refuse("access-file", rules.error());
    if (service.max_connections != 0 && service.max_per_source > service.max_connections)
        checker.refuse("max-per-source", "is more than " + checker.say(entry_of(service.mode).connections_option) +
                                             ", " + std::to_string(service.max_connections) +
                                             "; lower it or raise that");
}

void check_instances(Checker& checker)
{
    const auto& service = checker.service;
    const auto& pool = service.pool;
    if (service.ports) {
        const auto count = service.ports->size();
        if (checker.has("max-instances") && pool.max_instances > count)
            checker.refuse("max-instances", "is more than the " + std::to_string(count) + " ports of " +
                                                checker.say("ports") + "; lower it, leave it out, or add ports");
        if (pool.warm > count)
            checker.refuse("warm", "is more than the " + std::to_string(count) + " ports of " + checker.say("ports") +
                                       "; lower it or add ports");
    }
    const auto fits = [&](const auto& range) { return !range || pool.warm <= range->size(); };
    if (fits(service.ports) && fits(service.users) && pool.max_instances != 0 && pool.warm > pool.max_instances)
        checker.refuse("warm", "is more than " + checker.say("max-instances") + ", " +
                                   std::to_string(pool.max_instances) + "; lower it or raise that");
    if (checker.settings.max_instances != 0 && pool.warm > checker.settings.max_instances)
        checker.refuse("warm", "is more than the daemon's max-instances; lower it or raise that");
    if (service.single_use()) {
        const auto other = checker.say_several_connections();
        if (checker.has("linger") && pool.linger > pool.linger.zero())
            checker.refuse("linger",
                           "cannot work: here an instance serves one connection and goes with it; remove it or "
                           "use " +
                               other);
        if (checker.has("max-sessions") && pool.max_sessions_per_instance > 1)
            checker.refuse("max-sessions",
                           "cannot work: here an instance serves one connection; remove it or use " + other);
    }
}

/// Checks one service on its own.
void check_service(Checker& checker)
{
    const auto& service = checker.service;
    check_unix_files(checker);
    if (!is_tunnel(service.mode))
        check_listen(checker);
    if (service.mode != Mode::tunnel_agent) {
        check_traffic(checker);
        check_access(checker);
        check_crowd(checker);
    }
    if (includes(Scope::instances, scope_of(service.mode))) {
        if (const auto check = way_of(service.auth).check)
            check(checker);
        check_instances(checker);
        check_listen_port(checker);
        check_flags(checker);
    }
    check_proof(checker);
    check_relaxing(checker);
    checker.check_table();
    entry_of(service.mode).check(checker);
}

/// Addresses that differ by their ports alone, which follow each other: `:20000-20009`.
class AddressRange {
public:
    explicit AddressRange(const Address& only) : first_(only), last_port_(only.port()) {}

    bool goes_on_with(const Address& next) const
    {
        return first_.kind() == Address::Kind::tcp && next.kind() == first_.kind() && next.name() == first_.name() &&
               next.port() == last_port_ + 1;
    }

    void extend() { ++last_port_; }

    /// The ports alone.
    std::string ports() const { return to_last(std::to_string(first_.port())); }
    std::string text() const { return to_last(first_.text()); }

private:
    std::string to_last(const std::string& first) const
    {
        return last_port_ == first_.port() ? first : first + "-" + std::to_string(last_port_);
    }

    Address first_;
    std::uint16_t last_port_;
};

/// Checks that the instances of `service` do not get the ports on which `other` listens.
void check_ports(const ServiceSettings& service, const ServiceSettings& other, Problems& problems)
{
    if (!service.ports)
        return;
    std::vector<AddressRange> taken;
    for (const auto& [option, address] : listeners_of(other)) {
        if (address.kind() != Address::Kind::tcp || address.port() < service.ports->first() ||
            address.port() > service.ports->last())
            continue;
        if (!taken.empty() && taken.back().goes_on_with(address))
            taken.back().extend();
        else
            taken.emplace_back(address);
    }
    for (const auto& range : taken)
        problems.emplace_back(place_of(service, "ports"),
                              print_ports(*service.ports) + " holds " + range.ports() + ", on which " +
                                  (&service == &other ? "the service itself" : "service " + other.name) +
                                  " listens; choose another range");
}

/// Users of a range are an instance's own: no other service may start anything as one of them.
void check_neighbours_users(const ServiceSettings& service, const ServiceSettings& other, Problems& problems)
{
    const auto& users = service.users;
    if (!users || other.mode != Mode::exec)
        return;
    const auto single = other.users || other.user.empty() ? Parsed<User>(wrong("")) : find_user(other.user);
    const auto first = other.users ? other.users->first() : single ? single->uid : 0;
    const auto last = other.users ? other.users->last() : first;
    if (first != 0 && users->first() <= last && first <= users->last())
        problems.emplace_back(place_of(service, "user"),
                              "some of these users are those of service " + other.name + "; choose separate ranges");
}

/// Addresses of a service that another one has already.
class Collision {
public:
    Collision(const Listener& own, const Listener& other)
        : option_(own.first), taken_by_(other.first), ours_(own.second), theirs_(other.second)
    {
    }

    /// Adds the next two where they go on with the ranges.
    bool takes(const Listener& own, const Listener& other)
    {
        if (own.first != option_ || other.first != taken_by_ || !ours_.goes_on_with(own.second) ||
            !theirs_.goes_on_with(other.second))
            return false;
        ours_.extend();
        theirs_.extend();
        return true;
    }

    /// `whose`: of which service the other addresses are.
    void tell(const Settings& settings, const ServiceSettings& service, const std::string& whose,
              Problems& problems) const
    {
        const auto by = taken_by_ == "listen" ? "" : " (" + settings.say(taken_by_) + ")";
        problems.emplace_back(place_of(service, option_),
                              ours_.text() + " is taken by " + theirs_.text() + " of " + whose + by +
                                  "; choose another" + (service.has(option_) ? "" : " by " + settings.say(option_)));
    }

private:
    std::string_view option_, taken_by_;
    AddressRange ours_, theirs_;
};

/// Compares the addresses of a service with those of another one, or with its own.
void check_addresses(const Settings& settings, const ServiceSettings& service, const ServiceSettings& other,
                     const std::string& whose, Problems& problems)
{
    const auto ours = listeners_of(service), theirs = listeners_of(other);
    std::vector<Collision> collisions;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        const auto end = theirs.begin() + static_cast<std::ptrdiff_t>(&service == &other ? i : theirs.size());
        const auto taken = std::find_if(theirs.begin(), end, [&mine = ours[i].second](const auto& listener) {
            return listener.second.collides(mine);
        });
        if (taken != end && (collisions.empty() || !collisions.back().takes(ours[i], *taken)))
            collisions.emplace_back(ours[i], *taken);
    }
    for (const auto& collision : collisions)
        collision.tell(settings, service, whose, problems);
}

/// Checks what a service shares with those before it, and its own addresses with each other.
void check_neighbours(const Settings& settings, std::size_t index, Problems& problems)
{
    const auto& service = settings.services[index];
    for (std::size_t other_index = 0; other_index <= index; ++other_index) {
        const auto& other = settings.services[other_index];
        const bool same = other_index == index;
        const auto whose = same ? "the same service" : "service " + other.name;
        check_addresses(settings, service, other, whose, problems);
        check_ports(service, other, problems);
        if (same)
            continue;
        check_ports(other, service, problems);
        check_neighbours_users(service, other, problems);
        if (!other.users || !service.users)
            check_neighbours_users(other, service, problems);
        if (service.ports && other.ports && service.ports->first() <= other.ports->last() &&
            other.ports->first() <= service.ports->last())
            problems.emplace_back(place_of(service, "ports"), print_ports(*service.ports) + " overlaps " +
                                                                  print_ports(*other.ports) + " of " + whose +
                                                                  "; choose separate ranges");
    }
}

}  // namespace

Problems validate(const Settings& settings)
{
    Problems problems;
    for (std::size_t i = 0; i < settings.services.size(); ++i) {
        Checker checker(settings, settings.services[i], problems);
        check_service(checker);
        check_neighbours(settings, i, problems);
    }
    if (!settings.init.empty() && (is_directory(settings.init) || ::access(settings.init.c_str(), X_OK) != 0))
        problems.emplace_back(place_of(settings, "init"),
                              settings.init + ": " +
                                  (is_directory(settings.init) ? "is a directory" : std::strerror(errno)) +
                                  "; correct the path, or leave it out");
    check_watch(settings, problems);
    check_admin(settings, problems);
    return problems;
}

std::vector<std::string> warnings_of(const Settings& settings, const ServiceSettings& service)
{
    const auto warn = entry_of(service.mode).warn;
    auto warnings = warn ? warn(settings, service) : std::vector<std::string>();
    for (const auto& [option, address] : listeners_of(service))
        if (address.is_abstract())
            warnings.push_back(
                address.text() +
                " has no permissions: every user who shares this network namespace may connect; listen on "
                "unix:/path, with unix-mode, where that matters");
    for (auto& warning : warn_of_flags(settings, service))
        warnings.push_back(std::move(warning));
    for (const auto* file : {&service.tokens, &service.relay.auth_file})
        if (!file->empty() && is_readable_by_all(*file))
            warnings.push_back("every user of this machine can read " + *file + "; chmod o-r it");
    if (!service.env.empty() && !settings.file.empty() && is_readable_by_all(settings.file))
        warnings.push_back("every user of this machine can read " + settings.file + ", and in it the values of " +
                           joined(std::views::keys(service.env)) + "; chmod o-r it if one of them is a secret");
    for (auto& warning : warnings_of_proof(service))
        warnings.push_back(std::move(warning));
    if (const auto warn_of_way = way_of(service.auth).warn)
        for (auto& warning : warn_of_way(service))
            warnings.push_back(std::move(warning));
    return warnings;
}

std::vector<std::string> unbound_limits_of(const Settings&, const ServiceSettings& service)
{
    if (!service.has_bare_processes())
        return {};
    ProcessOptions options;
    options.limit_memory = service.limits.memory;
    options.limit_pids = service.limits.pids;
    options.limit_cpus = service.limits.cpus;
    options.users = service.users;
    return unbound_limits(options);
}

}  // namespace instancer::daemon
