// SPDX-License-Identifier: MIT
#include "modes/relay/relay_log.hpp"

#include <utility>

#include "observe/traffic.hpp"

namespace instancer::daemon {

namespace {

std::string name_of(const RelayMemberInfo& member)
{
    return "session " + std::to_string(member.session) + " from " + member.client.to_string();
}

}  // namespace

void RelayLog::show_only(std::string channel)
{
    const std::lock_guard lock(mutex_);
    only_ = std::move(channel);
}

bool RelayLog::shows(const std::string& channel)
{
    const std::lock_guard lock(mutex_);
    return only_.empty() || only_ == channel;
}

void RelayLog::joined(const RelayMemberInfo& member, std::size_t members) { note(member, "joined", members); }

void RelayLog::left(const RelayMemberInfo& member, std::size_t members) { note(member, "left", members); }

void RelayLog::note(const RelayMemberInfo& member, const std::string& what, std::size_t members)
{
    if (verbosity_ >= 1)
        log_.of_session(LogLevel::info, service_, member.session,
                        name_of(member) + " " + what + " " + member.channel + ", members: " + std::to_string(members));
}

void RelayLog::cut(const RelayMemberInfo& member, std::string_view why)
{
    log_.of_session(LogLevel::warning, service_, member.session,
                    name_of(member) + " is disconnected from " + member.channel + ": " + std::string(why));
}

void RelayLog::passed(const RelayMemberInfo& member, std::span<const std::byte> data)
{
    const unsigned verbosity = verbosity_;
    if (verbosity < 3 || !shows(member.channel))
        return;
    SessionInfo session;
    session.id = member.session;
    session.service = service_;
    session.instance = member.channel;
    log_.traffic(session, true, std::to_string(data.size()) + " bytes");
    if (verbosity < 4)
        return;
    std::string_view rest(reinterpret_cast<const char*>(data.data()), data.size());
    for (std::uint64_t place = 0; !rest.empty(); place += 16) {
        log_.traffic(session, true, hex_line(place, rest));
        rest.remove_prefix(std::min<std::size_t>(16, rest.size()));
    }
}

}  // namespace instancer::daemon
