// SPDX-License-Identifier: MIT
// What the tests of containers without an engine share: files for them, and a backend that is driven directly.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <instancer/backend/oci_backend.hpp>

#include <backend_bench.hpp>
#include <paths.hpp>
#include <temporary_directory.hpp>

namespace oci_test {

using namespace std::chrono_literals;
using instancer::ContainerIo;
using instancer::Errc;
using instancer::InstanceRequest;
using instancer::OciOptions;
using instancer::StderrTo;
using instancer::TerminalMode;

/// The files of a container: busybox.
class Rootfs {
public:
    Rootfs()
    {
        namespace fs = std::filesystem;
        for (const auto* folder : {"bin", "etc", "tmp", "data", "proc", "sys", "dev"})
            fs::create_directory(path() / folder);
        fs::permissions(path(), fs::perms(0755));
        REQUIRE_MESSAGE(fs::exists("/bin/busybox"), "the tests need /bin/busybox, statically linked (busybox-static)");
        fs::copy_file("/bin/busybox", path() / "bin/busybox");
        for (const auto* applet :
             {"sh",    "nc",        "cat",   "head",  "tail",    "grep",   "id",       "dd",   "sleep",
              "touch", "sha256sum", "stty",  "ls",    "wc",      "tr",     "stat",     "rm",   "yes",
              "env",   "printf",    "ip",    "mount", "unshare", "chroot", "kill",     "ps",   "tty",
              "mkdir", "true",      "mknod", "ping",  "sysctl",  "setsid", "readlink", "chown"})
            fs::create_symlink("busybox", path() / "bin" / applet);
        std::ofstream(path() / "etc/passwd") << "root:x:0:0::/root:/bin/sh\nplayer:x:1234:99::/home/player:/bin/sh\n";
        std::ofstream(path() / "etc/group") << "root:x:0:\nplayers:x:99:\nextra:x:77:player\n";
    }

    std::filesystem::path path() const { return directory_.path(); }

    /// Paths of all that is in it, and of nothing else that a container has.
    std::vector<std::string> listing() const
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path()))
            names.push_back(entry.path().string());
        std::sort(names.begin(), names.end());
        return names;
    }

private:
    daemon_test::TemporaryDirectory directory_;
};

inline std::string init_program()
{
    return (std::filesystem::path(test_paths::instancerd).parent_path() / "instancer-init").string();
}

/// Options that name no other test's daemon: a shell for everybody who connects to port 9000.
inline OciOptions options(const Rootfs& files)
{
    static int count = 0;
    OciOptions out;
    out.daemon = "test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    out.image.root = files.path();
    out.init = init_program();
    out.command = {"nc", "-ll", "-p", "9000", "-e", "sh"};
    out.port = 9000;
    return out;
}

/// The same, with standard streams.
inline OciOptions stdio_options(const Rootfs& files, std::vector<std::string> command)
{
    auto out = options(files);
    out.io = ContainerIo::stdio;
    out.command = std::move(command);
    return out;
}

/// Both runtimes that Debian has, one after the other.
inline const std::vector<std::string> runtimes = {"crun", "runc"};

/// A prepared backend as `backend_test::Bench` drives it.
class Bench : public backend_test::Bench<instancer::OciBackend> {
public:
    explicit Bench(const OciOptions& options) : backend_test::Bench<instancer::OciBackend>("svc", options)
    {
        const auto prepared = await(backend().prepare());
        REQUIRE_MESSAGE(prepared, prepared.error().message());
    }

    /// Starts an instance, sends `input` and the end of it, and returns everything that it says.
    std::string converse(std::string input)
    {
        const auto instance = start();
        auto stream = open(instance);
        auto answer = talk(stream, std::move(input));
        stream.close();
        stop(instance);
        return answer;
    }
};

/// Why a backend with these options cannot serve.
inline std::string refusal(const OciOptions& options)
{
    class Unprepared : public backend_test::Bench<instancer::OciBackend> {
    public:
        explicit Unprepared(const OciOptions& wanted) : backend_test::Bench<instancer::OciBackend>("svc", wanted) {}
    } bench(options);
    const auto prepared = bench.await(bench.backend().prepare());
    return prepared ? std::string() : prepared.error().message();
}

/// Processes with these words in their command lines.
inline std::vector<pid_t> processes_with(const std::string& words)
{
    std::vector<pid_t> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        std::ifstream file(entry.path() / "cmdline", std::ios::binary);
        // It may have ended meanwhile.
        std::string line;
        std::getline(file, line);
        if (line.find(words) != line.npos)
            found.push_back(std::atoi(entry.path().filename().c_str()));
    }
    return found;
}

/// Processes, mounts, control groups and directories whose names hold that of a test's daemon.
inline std::vector<std::string> leftovers(const std::string& daemon)
{
    namespace fs = std::filesystem;
    std::vector<std::string> found;
    const auto look = [&](const fs::path& where) {
        std::error_code error;
        for (fs::directory_iterator at(where, error), end; !error && at != end; at.increment(error))
            if (at->path().filename().string().find("." + daemon + ".") != std::string::npos)
                found.push_back(at->path().string());
    };
    look(fs::temp_directory_path());
    for (const auto* hierarchy : {"", "/memory", "/pids", "/cpu", "/unified", "/devices", "/cpuset", "/freezer"})
        look("/sys/fs/cgroup" + std::string(hierarchy));
    for (const auto pid : processes_with("instancer." + daemon + "."))
        found.push_back("process " + std::to_string(pid));
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);)
        if (line.find("instancer." + daemon + ".") != line.npos)
            found.push_back(line);
    return found;
}

}  // namespace oci_test
