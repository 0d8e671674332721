// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cctype>

#include "options/types.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using R = RelaxingSettings;

/// As capabilities(7) has them, without CAP_.
constexpr std::array<std::string_view, 41> capabilities = {"CHOWN",
                                                           "DAC_OVERRIDE",
                                                           "DAC_READ_SEARCH",
                                                           "FOWNER",
                                                           "FSETID",
                                                           "KILL",
                                                           "SETGID",
                                                           "SETUID",
                                                           "SETPCAP",
                                                           "LINUX_IMMUTABLE",
                                                           "NET_BROADCAST",
                                                           "NET_BIND_SERVICE",
                                                           "NET_ADMIN",
                                                           "NET_RAW",
                                                           "IPC_LOCK",
                                                           "IPC_OWNER",
                                                           "SYS_MODULE",
                                                           "SYS_RAWIO",
                                                           "SYS_CHROOT",
                                                           "SYS_PTRACE",
                                                           "SYS_PACCT",
                                                           "SYS_ADMIN",
                                                           "SYS_BOOT",
                                                           "SYS_NICE",
                                                           "SYS_RESOURCE",
                                                           "SYS_TIME",
                                                           "SYS_TTY_CONFIG",
                                                           "MKNOD",
                                                           "LEASE",
                                                           "AUDIT_WRITE",
                                                           "AUDIT_CONTROL",
                                                           "SETFCAP",
                                                           "MAC_OVERRIDE",
                                                           "MAC_ADMIN",
                                                           "SYSLOG",
                                                           "WAKE_ALARM",
                                                           "BLOCK_SUSPEND",
                                                           "AUDIT_READ",
                                                           "PERFMON",
                                                           "BPF",
                                                           "CHECKPOINT_RESTORE"};

Parsed<void> add_capability(Target to, const std::string& text)
{
    auto name = text;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (name.starts_with("CAP_"))
        name.erase(0, 4);
    if (std::find(capabilities.begin(), capabilities.end(), name) == capabilities.end())
        return wrong("'" + text + "' is no capability; write one of capabilities(7), as in NET_RAW");
    to.service->relaxing.capabilities.push_back("CAP_" + name);
    return {};
}

Parsed<void> add_device(Target to, const std::string& text)
{
    if (!text.starts_with('/'))
        return wrong("'" + text + "' is no absolute path; write one as in /dev/kvm");
    to.service->relaxing.devices.push_back(text);
    return {};
}

Parsed<void> set_seccomp(Target to, const std::string& text)
{
    if (text == "off") {
        to.service->relaxing.seccomp = text;
        return {};
    }
    return file<&S::relaxing, &R::seccomp>.parse(to, text);
}

constexpr std::string_view group = "Weaker walls (docker, oci)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "allow-setuid", flag<&S::relaxing, &R::allow_setuid>, Scope::containers, {},
     "let programs with a setuid bit run as their owner, as one that reads a flag does; root has no capability then "
     "either"},
    {group, "cap-add", custom<Shape::list, add_capability>.called("NAME"), Scope::containers, {},
     "a capability, as in NET_RAW: of root in the container, and with allow-setuid of programs whose file has it"},
    {group, "device", custom<Shape::list, add_device>.called("PATH"), Scope::containers, {},
     "a device of the host, as in /dev/kvm, which the program may use as far as its permissions and its group allow",
     {.key = "devices"}},
    {group, "seccomp", custom<Shape::text, set_seccomp, show<&S::relaxing, &R::seccomp>>.called("FILE|off"), Scope::containers, "a filter that allows what most programs need",
     "a filter of system calls in place of the usual one, in JSON as Docker reads it; off: none at all"},
};
// clang-format on

}  // namespace

std::span<const Option> relaxing_options() { return table; }

}  // namespace instancer::daemon
