// SPDX-License-Identifier: MIT
// What tests of relaxed containers share, whatever starts them.
#pragma once

#include <filesystem>
#include <string>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <paths.hpp>

namespace privileges_test {

/// A program that prints /flag and its capabilities, for a container without libraries.
inline std::filesystem::path flag_reader()
{
    return std::filesystem::path(test_paths::hand_over).parent_path() / "read_flag";
}

inline const std::string no_capabilities = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                                           "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
                                           "CapAmb:\t0000000000000000\n";

/// A filter that refuses to make directories, and with a capability that nobody has, to remove files.
inline const std::string filter = R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"},
    {"names": ["unlink", "unlinkat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}}]})";

/// A device of this host that gives zeros to its group.
class Device {
public:
    static constexpr gid_t group = 4242;

    Device()
    {
        REQUIRE(::mknod(path_.c_str(), S_IFCHR, makedev(1, 5)) == 0);
        REQUIRE((::chown(path_.c_str(), 0, group) == 0 && ::chmod(path_.c_str(), 0640) == 0));
    }
    Device(const Device&) = delete;
    ~Device() { ::unlink(path_.c_str()); }

    const std::string& path() const noexcept { return path_; }

private:
    std::string path_ = "/dev/instancer-test-" + std::to_string(::getpid());
};

}  // namespace privileges_test
