// SPDX-License-Identifier: MIT
#include "relaxing/relaxing.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <instancer/backend/oci_seccomp_filter.hpp>

#include "daemon/system.hpp"

namespace instancer::daemon {

namespace {

/// Whoever has them has power over no more than the container.
constexpr std::array<std::string_view, 17> harmless = {
    "CAP_CHOWN",      "CAP_DAC_OVERRIDE",     "CAP_FOWNER",        "CAP_FSETID",    "CAP_KILL",       "CAP_SETGID",
    "CAP_SETUID",     "CAP_SETPCAP",          "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",    "CAP_IPC_OWNER",
    "CAP_SYS_CHROOT", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",       "CAP_LEASE",     "CAP_AUDIT_WRITE"};

/// Devices that are all of the machine.
constexpr std::array<std::string_view, 3> of_the_machine = {"/dev/mem", "/dev/kmem", "/dev/port"};

bool is_among(const auto& list, std::string_view name)
{
    return std::find(list.begin(), list.end(), name) != list.end();
}

bool is_device(const std::string& path, struct stat& status)
{
    return ::stat(path.c_str(), &status) == 0 && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode));
}

IsolationRemark grade_device(const Settings& settings, const std::string& path)
{
    struct stat status {};
    const bool is_whole = (is_device(path, status) && S_ISBLK(status.st_mode)) || is_among(of_the_machine, path);
    return {is_whole ? Isolation::weak : Isolation::fair,
            "its programs use " + path + " of this machine" +
                (is_whole ? ", and with it can take the machine over" : ", with what its driver lets them do") +
                "; remove " + settings.say("device", path)};
}

IsolationRemark grade_capability(const Settings& settings, const std::string& name)
{
    const bool is_harmless = is_among(harmless, name);
    return {is_harmless ? Isolation::fair : Isolation::weak,
            "its programs can have " + name +
                (is_harmless ? ", which makes them mightier in their container"
                             : ", which reaches past their container to this machine") +
                "; remove " + settings.say("cap-add", name)};
}

Parsed<std::string> read_filter(const std::string& path)
{
    auto text = read_file(path);
    if (!text)
        return wrong(text.error());
    if (const auto checked = check_seccomp_filter(*text); !checked)
        return wrong(path + ": " + checked.error().text() +
                     "; write JSON with a defaultAction and syscalls, as Docker reads it");
    return text;
}

}  // namespace

void check_relaxing(Checker& checker)
{
    const auto& relaxing = checker.service.relaxing;
    if (!relaxing.capabilities.empty() && !relaxing.allow_setuid && !names_root(checker.service.user))
        checker.refuse("cap-add", "gives an ordinary user nothing; add " + checker.say("user", "0") + ", or " +
                                      checker.say("allow-setuid") + " for programs whose file has it");
    for (const auto& path : relaxing.devices)
        if (struct stat status{}; !is_device(path, status))
            checker.refuse("device",
                           path + " is no device; correct the path, or use " + checker.say("mount") + " for files");
    if (relaxing.has_own_seccomp() && !relaxing.has_no_seccomp())
        if (const auto filter = read_filter(relaxing.seccomp); !filter)
            checker.refuse("seccomp", filter.error());
}

std::vector<IsolationRemark> grade_relaxing(const Settings& settings, const ServiceSettings& service)
{
    const auto& relaxing = service.relaxing;
    std::vector<IsolationRemark> remarks;
    for (const auto& name : relaxing.capabilities)
        remarks.push_back(grade_capability(settings, name));
    for (const auto& path : relaxing.devices)
        remarks.push_back(grade_device(settings, path));
    if (relaxing.has_no_seccomp())
        remarks.emplace_back(Isolation::weak, "its programs may make every system call, and a hole in the kernel lets "
                                              "them out; remove " +
                                                  settings.say("seccomp", "off"));
    else if (relaxing.has_own_seccomp())
        remarks.emplace_back(Isolation::fair, "its programs may make the system calls of a filter that nobody has "
                                              "graded; remove " +
                                                  settings.say("seccomp"));
    if (relaxing.allow_setuid)
        remarks.emplace_back(Isolation::fair, "its programs can become root in their containers, without capabilities; "
                                              "remove " +
                                                  settings.say("allow-setuid"));
    return remarks;
}

Parsed<ContainerPrivileges> container_privileges(const RelaxingSettings& relaxing)
{
    ContainerPrivileges privileges;
    privileges.setuid = relaxing.allow_setuid;
    privileges.capabilities = relaxing.capabilities;
    privileges.devices = relaxing.devices;
    for (const auto& path : relaxing.devices)
        // The group of root would open more than the device.
        if (struct stat status{}; is_device(path, status) && status.st_gid != 0)
            privileges.groups.push_back(status.st_gid);
    if (relaxing.has_no_seccomp()) {
        privileges.seccomp.emplace();
    } else if (relaxing.has_own_seccomp()) {
        auto filter = read_filter(relaxing.seccomp);
        if (!filter)
            return wrong(filter.error());
        privileges.seccomp = std::move(*filter);
    }
    return privileges;
}

}  // namespace instancer::daemon
