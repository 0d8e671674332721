// SPDX-License-Identifier: MIT
// Each claim is tested from inside an instance.
#include <cstring>

#include <oci_support.hpp>

#include <instancer/detail/process/control_group.hpp>

#include <ifaddrs.h>

using namespace oci_test;

TEST_CASE("containers: an instance is hardened unless told otherwise")
{
    const Rootfs files;
    auto options = oci_test::options(files);
    options.limits.tmp = 1 << 20;
    options.tmpfs.emplace_back("/var/extra", 1 << 20);
    options.image.volumes = {"/data"};
    const daemon_test::TemporaryDirectory folder;
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    folder.file("note", "from the host\n");
    options.mounts.emplace_back(folder.path(), "/mnt/host");
    const auto before = files.listing();
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        const auto instance = bench.start();
        const auto says = [&](const std::string& script) { return bench.inside(instance, script + " 2>&1"); };
        const auto refuses = [&](const std::string& script, const std::string& why) {
            const auto said = says(script);
            CHECK_MESSAGE(said.find(why) != said.npos, script << ": " << said);
        };

        CHECK(says("id -u; id -g") == "65534\n65534\n");
        const auto status = says("cat /proc/self/status");
        for (const auto* line :
             {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
              "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"})
            CHECK_MESSAGE(status.find(line) != status.npos, line << " in " << status);

        refuses("touch /bin/x", "Read-only file system");
        CHECK(says("cat /mnt/host/note") == "from the host\n");
        refuses("touch /mnt/host/x", "Read-only file system");
        // /tmp, what was asked for, and a volume that the image declares: room to write, but only so much.
        for (const std::string place : {"/tmp", "/var/extra", "/data"}) {
            CHECK(
                says("cd " + place + " && dd if=/dev/zero of=f bs=1k count=900 && rm f && echo ok").ends_with("ok\n"));
            refuses("dd if=/dev/zero of=" + place + "/f bs=1k count=70000", "No space");
            CHECK(says("rm " + place + "/f") == "");
        }
        refuses("grep 'open files' /proc/self/limits", "1024                 1024");
        refuses("ulimit -n 2048", "not permitted");
        refuses("unshare -m true", "not permitted");
        refuses("mount -t tmpfs none /tmp", "denied");
        refuses("{ echo 1 >/proc/sys/kernel/panic; }", "ead-only");
        CHECK(says("cat /proc/kcore | head -c 1 | wc -c") == "0\n");
        CHECK(says("ls /sys/firmware | wc -l") == "0\n");
        // Its first process is ours: none of them can look into it, end it or stop it.
        refuses("cat /proc/1/cmdline", "instancer-init");
        refuses("ls /proc/1/fd/", "ermission denied");
        refuses("cat /proc/1/environ", "ermission denied");
        CHECK(says("kill -9 1; kill -STOP 1; kill -TERM 1; echo here") == "here\n");
    }
    CHECK(files.listing() == before);
}

TEST_CASE("containers: clone3 is unknown and new namespaces are refused, so that threads and forks work")
{
    const Rootfs files;
    const daemon_test::TemporaryDirectory folder;
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    std::filesystem::copy_file(std::filesystem::path(test_paths::hand_over).parent_path() / "system_calls",
                               folder.path("system_calls"));
    auto options = stdio_options(files, {"/mnt/system_calls"});
    options.mounts.emplace_back(folder.path(), "/mnt");
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        // clone3, a user namespace, the kernel's cryptography, TCP, 32-bit Linux, the key ring, io_uring, asynchronous
        // I/O.
        CHECK(bench.converse("") == "ENOSYS EPERM EPERM 0 0 EPERM EPERM EPERM\n");
    }
}

TEST_CASE("containers: processes and memory are limited, and running out of memory is said")
{
    const Rootfs files;
    auto options = oci_test::options(files);
    options.limits.pids = 12;
    options.limits.memory = 16 << 20;
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        const auto instance = bench.start();
        CHECK(bench.inside(instance, "for i in $(busybox seq 30); do sleep 1 & done 2>&1").find("can't fork") !=
              std::string::npos);
        const auto other = bench.start("other");
        CHECK(bench.inside(other, "x=$(head -c 1000000 /dev/zero | tr '\\0' x); echo ${#x}") == "1000000\n");
        CHECK(bench.inside(other, "tail -c 100000000 /dev/zero >/dev/null; echo $?") == "137\n");
    }
    options.io = ContainerIo::stdio;
    options.command = {"tail", "-c", "100000000", "/dev/zero"};
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        const auto exit = bench.end_of(bench.start());
        CHECK_MESSAGE(exit.starts_with("signal 9 (oom: out of memory, see limit-memory)"), exit);
    }
}

TEST_CASE("containers: what is written to a writable root is one instance's, in memory, and only so much")
{
    const Rootfs files;
    const auto before = files.listing();
    auto options = oci_test::options(files);
    options.read_only = false;
    options.user = "0:0";
    options.limits.tmp = 1 << 20;
    Bench bench(options);
    const auto one = bench.start("one"), two = bench.start("two");
    CHECK(bench.inside(one, "echo mine >/etc/passwd; rm /bin/tail; echo x >/new; cat /etc/passwd /new") == "mine\nx\n");
    CHECK(bench.inside(two, "head -n 1 /etc/passwd; ls /new 2>&1; ls /bin/tail") ==
          "root:x:0:0::/root:/bin/sh\nls: /new: No such file or directory\n/bin/tail\n");
    CHECK(bench.inside(one, "dd if=/dev/zero of=/big bs=1k count=70000 2>&1").find("No space") != std::string::npos);
    CHECK(files.listing() == before);
}

TEST_CASE("containers: an instance reaches no neighbour, no host and no outside, and has no network at all")
{
    const Rootfs files;
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        auto options = oci_test::options(files);
        options.runtime = runtime;
        Bench bench(options);
        asio::io_context context;
        asio::ip::tcp::acceptor host(context, asio::ip::tcp::endpoint(asio::ip::tcp::v4(), 0));
        const auto one = bench.start("one"), two = bench.start("two");
        CHECK(bench.reaches(one, "127.0.0.1", 9000));  // the probe can say yes
        CHECK(bench.reaches(two, "127.0.0.1", 9000));
        ifaddrs* first = nullptr;
        REQUIRE(::getifaddrs(&first) == 0);
        for (const auto* item = first; item; item = item->ifa_next) {
            if (!item->ifa_addr || item->ifa_addr->sa_family != AF_INET)
                continue;
            asio::ip::tcp::endpoint endpoint;
            std::memcpy(endpoint.data(), item->ifa_addr, sizeof(sockaddr_in));
            const auto address = endpoint.address().to_string();
            CHECK_MESSAGE(!bench.reaches(one, address, host.local_endpoint().port()), address);
        }
        ::freeifaddrs(first);
        CHECK(bench.inside(one, "grep -v lo /proc/net/if_inet6") == "");
        CHECK(bench.inside(one, "ls /sys/class/net") == "lo\n");
    }
}

TEST_CASE("containers: standard streams leave an instance without a network as well, and a low port can be listened on")
{
    const Rootfs files;
    Bench silent(stdio_options(files, {"sh", "-c", "ls /sys/class/net; grep -v lo /proc/net/if_inet6"}));
    CHECK(silent.converse("") == "lo\n");
    auto options = oci_test::options(files);
    options.port = 80;
    options.command = {"nc", "-ll", "-p", "80", "-e", "sh"};
    Bench bench(options);
    CHECK(bench.inside(bench.start(), "echo here") == "here\n");
}

TEST_CASE("containers: with the first version of control groups their TCP buffers are limited as well")
{
    namespace fs = std::filesystem;
    const auto own = instancer::detail::own_control_group("memory");
    if (own.empty() || !fs::exists(own + "/memory.kmem.tcp.limit_in_bytes"))
        return;
    const Rootfs files;
    auto options = oci_test::options(files);
    options.limits.memory = 32 << 20;
    Bench bench(options);
    const auto instance = bench.start();
    std::vector<std::string> limits;
    for (const auto& group : fs::recursive_directory_iterator(own)) {
        const auto path = group.path().string();
        std::string limit;
        if (path.find(options.daemon) != path.npos && path.ends_with("-1/memory.kmem.tcp.limit_in_bytes") &&
            std::ifstream(path) >> limit)
            limits.push_back(limit);
    }
    CHECK(limits == std::vector<std::string>{std::to_string(32 << 20)});
}
