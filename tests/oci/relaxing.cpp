// SPDX-License-Identifier: MIT
// What weakens a container does so, and no more than it says.
#include <oci_support.hpp>
#include <privileges.hpp>

using namespace oci_test;
using namespace privileges_test;

namespace {

/// What a script says, by each runtime.
void each_says(OciOptions options, const std::string& script, const std::string& expected)
{
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        CHECK(bench.inside(bench.start(), script + " 2>&1") == expected);
    }
}

}  // namespace

TEST_CASE("containers: a setuid program reads the flag where that is allowed, and has no capability")
{
    const Rootfs files;
    const auto reader = files.path() / "bin/read_flag", flag = files.path() / "flag";
    std::filesystem::copy_file(flag_reader(), reader);
    REQUIRE(::chmod(reader.c_str(), 04755) == 0);
    std::ofstream(flag) << "flag{it}\n";
    REQUIRE(::chmod(flag.c_str(), 0400) == 0);
    auto options = oci_test::options(files);
    each_says(options, "read_flag", "no flag\n" + no_capabilities);
    options.privileges.setuid = true;
    each_says(options, "read_flag; cat /flag",
              "flag{it}\n" + no_capabilities + "cat: can't open '/flag': Permission denied\n");
}

TEST_CASE("containers: root has a capability that was added, and its system calls")
{
    const Rootfs files;
    auto options = oci_test::options(files);
    const auto script =
        "touch /tmp/f; chown 5 /tmp/f 2>/dev/null; chroot / true 2>/dev/null && echo root; stat -c %u /tmp/f";
    options.user = "0:0";
    each_says(options, script, "0\n");
    options.privileges.capabilities = {"CAP_CHOWN", "CAP_SYS_CHROOT"};
    each_says(options, script, "root\n5\n");
    options.user.clear();
    each_says(options, "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n");
}

TEST_CASE("containers: a device is there when it is named, for its group")
{
    const Rootfs files;
    const Device device;
    auto options = oci_test::options(files);
    const auto script = "head -c 3 " + device.path() + " 2>/dev/null | wc -c";
    each_says(options, script, "0\n");
    options.privileges.devices = {device.path()};
    each_says(options, script, "0\n");
    options.privileges.groups = {Device::group};
    each_says(options, script, "3\n");
}

TEST_CASE("containers: the filter of system calls can be another one, or none")
{
    const Rootfs files;
    auto options = oci_test::options(files);
    const auto script = "grep Seccomp: /proc/self/status; touch /tmp/f && rm /tmp/f && mkdir /tmp/d";
    options.privileges.seccomp = filter;
    each_says(options, script, "Seccomp:\t2\nmkdir: can't create directory '/tmp/d': Operation not permitted\n");
    options.privileges.seccomp = "";
    each_says(options, script, "Seccomp:\t0\n");
    options.privileges.seccomp = "[]";
    CHECK(refusal(options).find("is no JSON object with a defaultAction") != std::string::npos);
}
