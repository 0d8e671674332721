// SPDX-License-Identifier: MIT
#include "ctl/ctl.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view group = "Control of a daemon that runs";

/// Whether it is a duration, which the daemon reads itself.
Parsed<void> set_duration(Target to, const std::string& text)
{
    if (const auto duration = parse_duration(text); !duration)
        return wrong(duration.error());
    to.settings.ctl.duration = text;
    return {};
}

template <auto member>
constexpr Type text_of = text<&Settings::ctl, member>;

// clang-format off
constexpr Option table[] = {
    {group, "server", address<&Settings::ctl, &CtlSettings::server>, Scope::ctl, {},
     "the daemon's admin address",
     {.letter = 's', .no_key = true}},
    {group, "token-file", file<&Settings::ctl, &CtlSettings::token_file>, Scope::ctl, {},
     "the token that the daemon asks for, as its admin-token-file has it",
     {.no_key = true}},
    {group, "json", flag<&Settings::ctl, &CtlSettings::json>, Scope::ctl, {},
     "what the daemon answers, instead of a table",
     {.no_key = true}},
    {group, "service", text_of<&CtlSettings::service>.called("NAME"), Scope::ctl, {},
     "list those of this service alone",
     {.no_key = true}},
    {group, "owner", text_of<&CtlSettings::owner>.called("HASH"), Scope::ctl, {},
     "list those of this owner alone, by its hash as the log has it",
     {.no_key = true}},
    {group, "follow", flag<&Settings::ctl, &CtlSettings::follow>, Scope::ctl, {},
     "show events as they come, until interrupted",
     {.letter = 'f', .no_key = true}},
    {group, "dry-run", flag<&Settings::ctl, &CtlSettings::dry_run>, Scope::ctl, {},
     "show what a reload would change, and change nothing",
     {.no_key = true}},
    {group, "for", Type{Shape::duration, "DURATION", set_duration, show<&Settings::ctl, &CtlSettings::duration>}, Scope::ctl, {},
     "how long an instance is kept from ending, or a ban lasts",
     {.no_key = true}},
    {group, "reason", text_of<&CtlSettings::reason>, Scope::ctl, {},
     "why a network is banned, for operators",
     {.no_key = true}},
};
// clang-format on

}  // namespace

std::span<const Option> ctl_options() { return table; }

}  // namespace instancer::daemon
