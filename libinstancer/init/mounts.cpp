// SPDX-License-Identifier: MIT
// instancer-init mounts [KEY=VALUE]... -- RUNTIME NAME [ARGUMENT]...
//
// Makes the root directory of one container, in a mount namespace that ends with the container, and executes the
// container runtime there. What a container writes, and what the runtime makes to mount something on, is in memory: the
// files that all containers share stay as they are.
//
//   detach=PATH      a mount that the runtime must not see; it need not be there
//   files=PATH       the files that all containers share
//   layer=PATH       an empty directory, where the memory is mounted
//   size=BYTES       of that memory; 0: no limit
//   root=PATH        an empty directory, which becomes the root directory
//   setuid=          setuid bits of files count
#include <cstdio>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.hpp"

namespace init {

namespace {

class Root {
public:
    const char* files = nullptr;
    const char* layer = nullptr;
    const char* path = nullptr;
    unsigned long long size = 0;
    unsigned long nosuid = MS_NOSUID;

    void make() const
    {
        char options[128];
        std::snprintf(options, sizeof options, "mode=0700,size=%llu", size);
        if (::mount("tmpfs", layer, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
            fail(errno, "mounting memory for the container's root directory");
        struct stat status {};
        const int shared = ::open(files, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (shared < 0 || ::fstat(shared, &status) != 0)
            fail(errno, "opening the container's files");
        // The root directory of the container has the owner and the mode of this one.
        if (::chdir(layer) != 0 || ::mkdir("upper", 0755) != 0 || ::mkdir("work", 0700) != 0 ||
            ::chown("upper", status.st_uid, status.st_gid) != 0 || ::chmod("upper", status.st_mode & 07777) != 0)
            fail(errno, "preparing memory for the container's root directory");
        // By its descriptor: a path may hold what the options take for a separator, and containers can read it.
        std::snprintf(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work", shared);
        if (::mount("overlay", path, "overlay", MS_NODEV | nosuid, options) != 0)
            fail(errno, "mounting the container's root directory");
        if (::chdir("/") != 0)
            fail(errno, "leaving the container's root directory");
    }
};

}  // namespace

void mount_and_execute(int argc, char** argv, char** envp)
{
    // It must outlive the library's process, to take away what belongs to its container.
    ::prctl(PR_SET_PDEATHSIG, 0);
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        fail(errno, "making a mount namespace");
    Root root;
    auto** runtime = read_settings(argc, argv, 2, [&](const Setting& setting) {
        const auto* value = setting.value();
        if (setting.is("detach"))
            ::umount2(value, MNT_DETACH);
        else if (setting.is("files"))
            root.files = value;
        else if (setting.is("layer"))
            root.layer = value;
        else if (setting.is("size"))
            root.size = number(value);
        else if (setting.is("root"))
            root.path = value;
        else if (setting.is("setuid"))
            root.nosuid = 0;
        else
            Setting::refuse();
    });
    root.make();
    ::execve(runtime[0], runtime + 1, envp);
    fail(errno, "starting the container runtime");
}

}  // namespace init
