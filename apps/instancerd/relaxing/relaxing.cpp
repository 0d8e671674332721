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

/// They give power over the container alone.
constexpr std::array<std::string_view, 17> harmless = {
    "CAP_CHOWN",      "CAP_DAC_OVERRIDE",     "CAP_FOWNER",        "CAP_FSETID",    "CAP_KILL",       "CAP_SETGID",
    "CAP_SETUID",     "CAP_SETPCAP",          "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",    "CAP_IPC_OWNER",
    "CAP_SYS_CHROOT", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",       "CAP_LEASE",     "CAP_AUDIT_WRITE"};

/// Numbers of character devices, by which their drivers are found.
class DeviceRange {
public:
    unsigned driver, first = 0, last = ~0U;  ///< A major number, and minor ones.

    bool has(dev_t device) const { return major(device) == driver && minor(device) >= first && minor(device) <= last; }
};

/// All memory and all ports of the machine.
constexpr std::array<DeviceRange, 2> of_the_machine = {{{1, 1, 2}, {1, 4, 4}}};

/// Devices whose drivers are made for ordinary users, or reach no further than what is plugged in.
constexpr std::array<DeviceRange, 15> known_devices = {{
    {1, 3, 3},       // null
    {1, 5, 9},       // zero, full, random, urandom
    {4, 64},         // Serial ports.
    {5, 0, 0},       // tty
    {5, 2, 2},       // ptmx
    {10, 183, 183},  // hwrng
    {10, 200, 200},  // net/tun
    {10, 229, 229},  // fuse
    {10, 232, 232},  // kvm
    {81},            // Cameras.
    {116},           // Sound.
    {166},           // Modems at USB.
    {188},           // Serial ports at USB.
    {195},           // Graphics of NVIDIA.
    {226},           // Graphics.
}};

bool is_device(const std::string& path, struct stat& status)
{
    return ::stat(path.c_str(), &status) == 0 && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode));
}

bool is_in(const auto& ranges, dev_t device)
{
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) { return range.has(device); });
}

IsolationRemark grade_device(const Settings& settings, const std::string& path)
{
    struct stat status {};
    const bool exists = is_device(path, status);
    const bool is_whole = exists && (S_ISBLK(status.st_mode) || is_in(of_the_machine, status.st_rdev));
    const bool is_known = exists && !is_whole && is_in(known_devices, status.st_rdev);
    return {is_known ? Isolation::fair : Isolation::weak,
            "its programs use " + path + " of this machine" +
                (is_whole   ? ", and with it can take the machine over"
                 : is_known ? ", with what its driver lets them do"
                            : ", and its driver may let them take the machine over") +
                "; remove " + settings.say("device", path)};
}

IsolationRemark grade_capability(const Settings& settings, const std::string& name)
{
    const bool is_harmless = std::ranges::find(harmless, name) != std::end(harmless);
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
