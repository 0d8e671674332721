// SPDX-License-Identifier: MIT
#include "docker_support.hpp"

using namespace docker_test;

TEST_CASE("an instance is hardened unless told otherwise")
{
    auto options = Bench::options();
    options.limits.tmp = 1 << 20;
    options.tmpfs.emplace_back("/var/extra", 1 << 20);
    const auto folder = std::filesystem::temp_directory_path() / options.daemon;
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "note") << "from the host\n";
    options.mounts.emplace_back(folder.string(), "/mnt/host");
    Bench bench(options);
    const auto instance = bench.start();
    const auto says = [&](const std::string& script) { return bench.inside(instance, script + " 2>&1"); };

    CHECK(says("id -u; id -g") == "65534\n65534\n");
    const auto status = says("cat /proc/self/status");
    for (const auto* line : {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
                             "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"})
        CHECK_MESSAGE(status.find(line) != status.npos, line);

    CHECK(says("touch /bin/x").find("Read-only file system") != std::string::npos);
    CHECK(says("cat /mnt/host/note") == "from the host\n");
    CHECK(says("touch /mnt/host/x").find("Read-only file system") != std::string::npos);
    // /tmp, what was asked for, and a volume that the image declares: room to write, but only so much.
    for (const std::string place : {"/tmp", "/var/extra", "/data"}) {
        CHECK(says("cd " + place + " && dd if=/dev/zero of=f bs=1k count=900 && rm f && echo ok").ends_with("ok\n"));
        CHECK(says("dd if=/dev/zero of=" + place + "/f bs=1k count=70000").find("No space") != std::string::npos);
        CHECK(says("rm " + place + "/f") == "");
    }
    CHECK(says("grep 'open files' /proc/self/limits").find("1024                 1024") != std::string::npos);
    CHECK(says("ulimit -n 2048").find("not permitted") != std::string::npos);
    CHECK(says("cat /proc/1/cmdline").find("init") != std::string::npos);
    std::filesystem::remove_all(folder);
}

TEST_CASE("processes and memory are limited")
{
    auto options = Bench::options();
    options.limits.pids = 12;
    options.limits.memory = 16 << 20;
    Bench bench(options);
    const auto instance = bench.start();
    CHECK(bench.inside(instance, "for i in $(busybox seq 30); do sleep 1 & done 2>&1").find("can't fork") !=
          std::string::npos);

    const auto other = bench.start("other");
    CHECK(bench.inside(other, "x=$(head -c 1000000 /dev/zero | tr '\\0' x); echo ${#x}") == "1000000\n");
    CHECK(bench.inside(other, "tail -c 100000000 /dev/zero >/dev/null; echo $?") == "137\n");
}

TEST_CASE("the image's own user is kept unless it is root, and the operator may choose another")
{
    make_image("instancer-test-user", {R"(CMD ["nc","-ll","-p","9000","-e","sh"])", "EXPOSE 9000", "USER 1234:99"});
    auto options = Bench::options();
    options.image = "instancer-test-user";
    Bench own(options);
    CHECK(own.inside(own.start(), "id -u; id -g") == "1234\n99\n");

    options = Bench::options();
    options.user = "4321";
    options.env = {{"GREETING", "good day"}};
    options.read_only = false;
    Bench chosen(options);
    CHECK(chosen.inside(chosen.start(), "id -u; echo $GREETING; touch /tmp/x && echo writable") ==
          "4321\ngood day\nwritable\n");
}
