// SPDX-License-Identifier: MIT
#include "oci_rootless.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include <nlohmann/json.hpp>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {

using nlohmann::json;

namespace {

constexpr auto with_root = "start instancerd as root";

/// Makes a user namespace, and in it one for mounts, in a process that ends at once. Returns the system's error number.
int try_namespaces()
{
    // As fork does it, of this thread alone.
    const auto child =
        static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (child < 0)
        return errno;
    if (child == 0)
        ::_exit(::unshare(CLONE_NEWNS) == 0 ? 0 : errno);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;
}

bool is_set_to(const char* path, char value)
{
    std::ifstream file(path);
    char first = '\0';
    return file >> first && first == value;
}

/// Which setting of the system forbids it, as far as that is known.
std::string setting_to_change()
{
    if (is_set_to("/proc/sys/user/max_user_namespaces", '0'))
        return "set sysctl user.max_user_namespaces to more than 0";
    if (is_set_to("/proc/sys/kernel/unprivileged_userns_clone", '0'))
        return "set sysctl kernel.unprivileged_userns_clone=1";
    if (is_set_to("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
        return "set sysctl kernel.apparmor_restrict_unprivileged_userns=0";
    return "allow them (RestrictNamespaces= of a unit, the seccomp filter of a container)";
}

tl::unexpected<Error> takes_root(const std::string& what, const std::string& remedy)
{
    return fail(Errc::bad_request, what + " takes root: " + remedy + ", or " + with_root);
}

}  // namespace

Result<void> check_user_namespaces()
{
    const int error = try_namespaces();
    if (error == 0)
        return {};
    return fail(Errc::bad_request,
                "an ordinary user cannot make user namespaces here (" + std::string(std::strerror(error)) +
                    "), which containers take without root: " + setting_to_change() + ", or " + with_root);
}

Result<void> check_rootless(const OciOptions& options, const OciRuntime& runtime)
{
    if (!runtime.is_crun())
        return takes_root("the container runtime " + runtime.path(), "install crun (apt install crun)");
    if (options.privileges.setuid)
        return takes_root("a program that is setuid (allow-setuid)", "do without it");
    if (!options.privileges.capabilities.empty())
        return takes_root("a capability (cap-add)", "do without it");
    if (!options.privileges.devices.empty())
        return takes_root("a device of the host (device)", "do without it");
    if (options.users)
        return takes_root("a user for each instance (user)", "do without it");
    if (options.secret.has_file() && options.secret.owner)
        return takes_root("a file of another user (flag-owner)", "do without that owner");
    return {};
}

Result<void> check_rootless_user(const OciUser& user)
{
    if (!user.groups.empty())
        return takes_root("a user with further groups", "name one by number, as in 65534:65534 (user)");
    return {};
}

void set_user_namespace(json& spec, const OciUser& user)
{
    auto& linux_part = spec["linux"];
    linux_part["namespaces"].push_back({{"type", "user"}});
    // instancer-init has made another one before, in which this process's user is 0.
    linux_part["uidMappings"] = {{{"containerID", user.uid}, {"hostID", 0}, {"size", 1}}};
    linux_part["gidMappings"] = {{{"containerID", user.gid}, {"hostID", 0}, {"size", 1}}};
    // There is no other owner for what is in memory.
    for (auto& mount : spec["mounts"])
        std::erase_if(mount["options"].get_ref<json::array_t&>(), [](const json& option) {
            const auto& text = option.get_ref<const std::string&>();
            return text.starts_with("uid=") || text.starts_with("gid=");
        });
}

std::string rootless_remedy()
{
    return "\nwithout root it takes Linux 5.11, and a /proc that nothing covers; start instancerd as root otherwise";
}

}  // namespace instancer::detail::inline oci
