// SPDX-License-Identifier: MIT
#include "isolation/isolation.hpp"

#include <algorithm>

#include "options/option.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

/// One service, and what it runs in.
class Graded {
public:
    const Settings& settings;
    const ServiceSettings& service;
    bool as_root;
};

bool is_root(const Graded& graded)
{
    const auto& service = graded.service;
    if (!service.has_bare_processes() || !service.user.empty())
        return names_root(service.user);
    return graded.as_root && !service.users;
}

bool shares_user(const Graded& graded) { return !graded.service.users && !is_root(graded); }

/// What makes isolation worse. The remedy is an option to add, or to remove where that has no value.
class Row {
public:
    Isolation isolation;
    Scope scope;
    bool (*applies)(const Graded&);
    std::string_view reason;
    std::string_view option;
    std::string_view value = {};
};

// The worst first.
constexpr Row table[] = {
    {Isolation::weak, Scope::exec, is_root, "its programs are root, who may do anything here", "user", "70000-70063"},
    {Isolation::weak, Scope::exec, shares_user,
     "its instances share a user: each can stop the others, and read what is theirs", "user", "70000-70063"},
    {Isolation::weak, Scope::containers, is_root, "its programs are root in their containers", "user", "65534"},
    {Isolation::weak, Scope::instances, [](const Graded& g) { return g.service.limits.memory == 0; },
     "one instance can take all memory", "limit-memory", "256m"},
    {Isolation::weak, Scope::instances, [](const Graded& g) { return g.service.limits.pids == 0; },
     "one instance can start processes until this machine has no more", "limit-pids", "64"},
    {Isolation::weak, Scope::instances,
     [](const Graded& g) { return g.service.pool.max_instances == 0 && g.settings.max_instances == 0; },
     "nothing limits how many instances there are", "max-instances", "64"},
    {Isolation::weak, Scope::docker, [](const Graded& g) { return !g.service.docker.read_only; },
     "its containers can fill the disk of this machine", "writable"},
    {Isolation::weak, Scope::docker,
     [](const Graded& g) { return g.service.limits.log == 0 && !g.service.single_use(); },
     "the output of its containers can fill the disk of this machine", "limit-log", "1m"},
    {Isolation::fair, Scope::docker, [](const Graded& g) { return g.service.docker.egress; },
     "its containers can attack others from the address of this machine", "egress"},
    {Isolation::fair, Scope::containers, [](const Graded& g) { return g.service.limits.tmp == 0; },
     "/tmp of a container has no limit but that of its memory", "limit-tmp", "64m"},
    {Isolation::fair, Scope::instances, [](const Graded& g) { return g.service.limits.cpus == 0; },
     "one instance can take all processors", "limit-cpus", "1"},
    {Isolation::fair, Scope::instances,
     [](const Graded& g) {
         return g.service.pool.ttl == g.service.pool.ttl.zero() && g.service.pool.idle == g.service.pool.idle.zero();
     },
     "an instance whose client stays lives for ever", "ttl", "30m"},
    {Isolation::fair, Scope::instances,
     [](const Graded& g) {
         return g.service.auth == Auth::open && g.service.max_per_source == 0 && !g.service.proof.is_asked();
     },
     "nobody says who it is, and one client can take every instance", "max-per-source", "4"},
    {Isolation::fair, Scope::instances, [](const Graded& g) { return g.service.auth == Auth::shared; },
     "nobody says who it is, and all clients share one instance", "auth", "prompt"},
    {Isolation::fair, Scope::exec, [](const Graded&) { return true; },
     "its programs reach the network, and every file that their user may read", "sandbox", "true"},
};

std::string remedy(const Settings& settings, const Row& row)
{
    if (row.option == "auth")
        return "use " + settings.say(row.option, row.value);
    return (row.value.empty() ? "remove " : "add ") + settings.say(row.option, row.value);
}

}  // namespace

std::string_view name_of(Isolation isolation)
{
    static constexpr std::string_view names[] = {"strong", "fair", "weak"};
    return names[static_cast<unsigned>(isolation)];
}

bool names_root(const std::string& user)
{
    const auto name = user.substr(0, user.find(':'));
    return name == "root" || (!name.empty() && name.find_first_not_of('0') == name.npos);
}

std::vector<IsolationRemark> grade_isolation(const Settings& settings, const ServiceSettings& service, bool as_root)
{
    const Graded graded{settings, service, as_root};
    const auto scope = service.sandbox ? Scope::oci : scope_of(service.mode);
    auto remarks = grade_relaxing(settings, service);
    for (const auto& row : table)
        if (includes(row.scope, scope) && row.applies(graded))
            remarks.emplace_back(row.isolation, std::string(row.reason) + "; " + remedy(settings, row));
    if (scope == Scope::oci && !as_root)
        remarks.emplace_back(Isolation::fair,
                             "its programs are the daemon's own user to this machine, whose files one that breaks out "
                             "can read; start instancerd as root");
    std::stable_sort(remarks.begin(), remarks.end(),
                     [](const auto& one, const auto& other) { return one.isolation > other.isolation; });
    return remarks;
}

}  // namespace instancer::daemon
