// SPDX-License-Identifier: MIT
#include "flags/flag_search.hpp"

#include <algorithm>
#include <istream>
#include <ostream>

#include <instancer/identity.hpp>

#include "authentication/authentication.hpp"
#include "flags/flag_issuer.hpp"

namespace instancer::daemon {

Parsed<FlagSearch> FlagSearch::load(const Settings& settings)
{
    FlagSearch search;
    bool has_flags = false;
    for (const auto& service : settings.services) {
        if (service.flags.text.empty())
            continue;
        has_flags = true;
        if (const auto added = search.add(service); !added)
            return wrong(service.name + ": " + added.error());
    }
    if (!has_flags)
        return wrong("no service has flags; add " + settings.say("flag", "FLAG{{hmac:32}}") + " to one");
    return search;
}

bool FlagSearch::answer(std::istream& in, std::ostream& out) const
{
    bool all_known = true;
    for (std::string line; std::getline(in, line);) {
        const auto end = line.find_last_not_of(" \t\r");
        const auto flag = line.substr(0, end == line.npos ? 0 : end + 1);
        if (flag.empty())
            continue;
        const auto [first, last] = by_flag_.equal_range(flag);
        if (first == last) {
            out << one_line(flag) << "\tnobody's\n";
            all_known = false;
        }
        for (auto at = first; at != last; ++at)
            out << flag << '\t' << at->second.service << '\t' << at->second.owner << '\t' << one_line(at->second.label)
                << '\n';
    }
    out.flush();
    return all_known;
}

Parsed<void> FlagSearch::add(const ServiceSettings& service)
{
    Events nobody;
    const auto authentication = open_authentication(service, nobody);
    if (!authentication)
        return wrong(authentication.error());
    const auto& owners = authentication->owners();
    if (!service.flags.log.empty()) {
        // The log may be that of several services.
        const auto read = read_flag_log(service.flags.log, [&](IssuedFlag issued) {
            if (issued.service != service.name)
                return;
            if (const auto listed = owners.find(issued.owner); issued.label.empty() && listed != owners.end())
                issued.label = listed->second;
            add(std::move(issued));
        });
        if (!read)
            return read;
    }
    return add_listed_owners(service, owners);
}

Parsed<void> FlagSearch::add_listed_owners(const ServiceSettings& service, const Owners& owners)
{
    const auto parsed = FlagTemplate::parse(service.flags.text);
    if (!parsed || parsed->is_random() || service.flags.scope == FlagScope::instance)
        return {};
    const auto issuer = FlagIssuer::load(service);
    if (!issuer)
        return wrong(issuer.error());
    for (const auto& [hash, label] : owners) {
        Digest owner;
        if (!Digest::parse(hash, owner))
            continue;
        IssuedFlag listed;
        listed.service = service.name;
        listed.owner = hash;
        listed.label = label;
        listed.flag = issuer->flag_of(Identity(owner, Digest(), false));
        add(std::move(listed));
    }
    return {};
}

void FlagSearch::add(IssuedFlag issued)
{
    const auto [first, last] = by_flag_.equal_range(issued.flag);
    const bool known = std::any_of(first, last, [&](const auto& entry) {
        return entry.second.service == issued.service && entry.second.owner == issued.owner;
    });
    if (!known)
        by_flag_.emplace(issued.flag, std::move(issued));
}

}  // namespace instancer::daemon
