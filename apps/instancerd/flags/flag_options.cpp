// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include "flags/flag_owner.hpp"
#include "flags/flags.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using F = FlagSettings;

constexpr Choice<FlagScope> scopes[] = {{"owner", FlagScope::owner}, {"instance", FlagScope::instance}};

Parsed<void> set_template(Target to, const std::string& text)
{
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (text.empty() || std::any_of(text.begin(), text.end(), is_control))
        return wrong("a flag is one line of text, as in FLAG{{hmac:32}}");
    if (const auto parsed = FlagTemplate::parse(text); !parsed)
        return wrong(parsed.error().text());
    to.service->flags.text = text;
    return {};
}

bool has_dots(const std::filesystem::path& path)
{
    return std::any_of(path.begin(), path.end(), [](const auto& part) { return part == "." || part == ".."; });
}

Parsed<void> set_file(Target to, const std::string& text)
{
    if (text.empty() || text.back() == '/' || (text.front() != '/' && !text.starts_with("{dir}/")))
        return wrong("'" + text + "' is no path of a file; write /run/flag/flag with docker, {dir}/flag with exec");
    if (has_dots(text))
        return wrong("'" + text + "' has . or .. in it, and may lead elsewhere; write the path without them");
    to.service->flags.file = text;
    return {};
}

Parsed<void> set_owner(Target to, const std::string& text)
{
    if (const auto owner = parse_file_owner(text); !owner)
        return wrong(owner.error());
    to.service->flags.owner = text;
    return {};
}

constexpr Needs with_flag = {{{{"flag", {}, "TEMPLATE"}}}};
constexpr Needs with_flag_file = {{{{"flag-file", {}, "PATH"}}}};

constexpr std::string_view group = "Flags";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "flag", custom<Shape::text, set_template, show<&S::flags, &F::text>>.called("TEMPLATE"), Scope::instances, {},
     "a flag for each instance: {hmac} and {hmac:N} become digits that only the key makes, {random:N} N random ones, "
     "{owner} the owner's hash, as in FLAG{{hmac:32}}. The instance has it in the environment, as FLAG",
     {.secret = true}},
    {group, "flag-key", file<&S::flags, &F::key_file>, Scope::instances, {},
     "key of {hmac}: at least 32 characters, or hex: and digits",
     {.needs = with_flag}},
    {group, "flag-scope", choice<scopes, &S::flags, &F::scope>, Scope::instances, {},
     "whether {hmac} is the same for all instances of an owner, or another one for each identifier",
     {.needs = with_flag}},
    {group, "flag-file", custom<Shape::text, set_file, show<&S::flags, &F::file>>.called("PATH"), Scope::instances, {},
     "hand the flag over in a file instead, which is there before the first client is: with docker in a directory that "
     "becomes one in memory, with exec below {dir}",
     {.needs = with_flag, .effect = Effect::restart}},
    {group, "flag-mode", permissions<&S::flags, &F::mode>, Scope::instances, {},
     "permissions of that file",
     {.needs = with_flag_file}},
    {group, "flag-owner", custom<Shape::text, set_owner, show<&S::flags, &F::owner>>.called("UID[:GID]"), Scope::instances, "the instance's user",
     "user and group of that file",
     {.needs = with_flag_file}},
    {group, "flag-log", file<&S::flags, &F::log>, Scope::instances, {},
     "append each flag that is handed over to a file, which nobody else may read: time, service, owner, identity, label, "
     "flag, with tabs between. It is opened for each line",
     {.needs = with_flag}},
};
// clang-format on

}  // namespace

std::span<const Option> flag_options() { return table; }

}  // namespace instancer::daemon
