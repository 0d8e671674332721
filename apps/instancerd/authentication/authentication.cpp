// SPDX-License-Identifier: MIT
#include "authentication/authentication.hpp"

#include <algorithm>
#include <iterator>

#include <instancer/identity.hpp>
#include <instancer/pool/instance_pool.hpp>

#include "authentication/ways.hpp"
#include "config/text.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

namespace {

/// `, 2 removed, 3 instances of them end`
std::string deal_with_removed(const Owners& owners, OnRemoved what, InstancePool& pool)
{
    if (owners.empty())
        return {};
    const auto instances = pool.snapshot();
    const auto left = std::count_if(instances.begin(), instances.end(), [&](const auto& instance) {
        return instance.state != "stopping" && owners.count(instance.owner) != 0;
    });
    const bool end = what == OnRemoved::end;
    if (end)
        for (const auto& [owner, label] : owners)
            if (Digest digest; Digest::parse(owner, digest))
                pool.remove_owner(digest);
    auto text = ", " + std::to_string(owners.size()) + " removed";
    if (left == 0)
        return text;
    text += ", " + counted(static_cast<std::size_t>(left), "instance");
    text += owners.size() == 1 ? " of it" : " of them";
    return text + (end ? left == 1 ? " ends" : " end" : left == 1 ? " goes on" : " go on");
}

}  // namespace

Owners Authentication::apply(Reading reading, const std::set<std::string>& present)
{
    Owners removed;
    std::set_difference(owners_.begin(), owners_.end(), reading.owners.begin(), reading.owners.end(),
                        std::inserter(removed, removed.end()),
                        [](const auto& one, const auto& other) { return one.first < other.first; });
    owners_ = std::move(reading.owners);
    reading.apply();
    std::erase_if(leaving_,
                  [&](const auto& owner) { return !present.contains(owner.first) || owners_.contains(owner.first); });
    leaving_.insert(removed.begin(), removed.end());
    return removed;
}

Owners Authentication::named_owners() const
{
    auto named = owners_;
    named.insert(leaving_.begin(), leaving_.end());
    return named;
}

Parsed<Authentication> open_authentication(const ServiceSettings& service, Events& events)
{
    auto authentication = way_of(service.auth).make(service, events);
    auto reading = authentication.read();
    if (reading && !*reading)
        return wrong(reading->error());
    if (reading)
        authentication.apply(std::move(**reading));
    return authentication;
}

void reload_authentication(Authentication& authentication, Parsed<Authentication::Reading> reading,
                           const std::set<std::string>& present, const ServiceSettings& service, InstancePool& pool,
                           Log& log)
{
    if (!reading) {
        log.warning(service.name, reading.error() + "; the " + authentication.what() + " stay as they were");
        return;
    }
    const auto text = reading->text, remark = reading->remark;
    // Before instances end: nobody may come back for another one.
    const auto removed = authentication.apply(std::move(*reading), present);
    log.name_owners(service.name, authentication.named_owners());
    log.notice(service.name, text + deal_with_removed(removed, service.on_removed, pool));
    if (!remark.empty())
        log.warning(service.name, remark);
}

}  // namespace instancer::daemon
