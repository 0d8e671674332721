// SPDX-License-Identifier: MIT
#include "oci_devices.hpp"

#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace instancer::detail::inline oci {

using nlohmann::json;

Result<void> add_devices(json& spec, const std::vector<std::string>& paths)
{
    for (const auto& path : paths) {
        struct stat status {};
        if (::stat(path.c_str(), &status) != 0 || !(S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)))
            return fail(Errc::bad_request, path + " is no device of this host");
        const json node = {{"type", S_ISCHR(status.st_mode) ? "c" : "b"},
                           {"major", major(status.st_rdev)},
                           {"minor", minor(status.st_rdev)}};
        auto device = node, rule = node;
        device.update(
            {{"path", path}, {"fileMode", status.st_mode & 0777}, {"uid", status.st_uid}, {"gid", status.st_gid}});
        rule.update({{"allow", true}, {"access", "rw"}});
        spec["linux"]["devices"].push_back(std::move(device));
        spec["linux"]["resources"]["devices"].push_back(std::move(rule));
    }
    return {};
}

}  // namespace instancer::detail::inline oci
