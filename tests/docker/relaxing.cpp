// SPDX-License-Identifier: MIT
// What weakens a container does so, and no more than it says.
#include <docker_support.hpp>
#include <privileges.hpp>

using namespace docker_test;
using namespace privileges_test;

namespace {

std::string says(const instancer::DockerOptions& options, const std::string& script)
{
    Bench bench(options);
    return bench.inside(bench.start(), script + " 2>&1");
}

}  // namespace

TEST_CASE("a setuid program reads the flag where that is allowed, and has no capability")
{
    std::ifstream file(flag_reader(), std::ios::binary);
    const std::string reader{std::istreambuf_iterator<char>(file), {}};
    make_image("instancer-test-setuid", shell_changes, default_engine(), [&](Tar& tar) {
        tar.file("bin/read_flag", reader, "0004755");
        tar.file("flag", "flag{it}\n", "0000400");
    });
    auto options = Bench::options();
    options.image = "instancer-test-setuid";
    CHECK(says(options, "read_flag") == "no flag\n" + no_capabilities);
    options.privileges.setuid = true;
    CHECK(says(options, "read_flag; cat /flag") ==
          "flag{it}\n" + no_capabilities + "cat: can't open '/flag': Permission denied\n");
}

TEST_CASE("root has a capability that was added")
{
    auto options = Bench::options();
    const auto script = "touch /tmp/f; busybox chown 5 /tmp/f 2>/dev/null; stat -c %u /tmp/f";
    options.user = "0:0";
    CHECK(says(options, script) == "0\n");
    options.privileges.capabilities = {"CAP_CHOWN"};
    CHECK(says(options, script) == "5\n");
}

TEST_CASE("a device is there when it is named, for its group")
{
    const Device device;
    auto options = Bench::options();
    const auto script = "head -c 3 " + device.path() + " 2>/dev/null | wc -c";
    CHECK(says(options, script) == "0\n");
    options.privileges.devices = {device.path()};
    CHECK(says(options, script) == "0\n");
    options.privileges.groups = {Device::group};
    CHECK(says(options, script) == "3\n");
}

TEST_CASE("the filter of system calls can be another one, or none")
{
    auto options = Bench::options();
    const auto script = "grep Seccomp: /proc/self/status; touch /tmp/f && rm /tmp/f && busybox mkdir /tmp/d";
    options.privileges.seccomp = filter;
    CHECK(says(options, script) == "Seccomp:\t2\nmkdir: can't create directory '/tmp/d': Operation not permitted\n");
    options.privileges.seccomp = "";
    CHECK(says(options, script) == "Seccomp:\t0\n");
}
