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
//   rootless=        in a user namespace, in which the library's user is root
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
    bool rootless = false;

    void make() const
    {
        char options[160];
        std::snprintf(options, sizeof options, "mode=0700,size=%llu", size);
        if (::mount("tmpfs", layer, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
            fail(errno, "mounting memory for the container's root directory");
        struct stat status {};
        const int shared = ::open(files, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (shared < 0 || ::fstat(shared, &status) != 0)
            fail(errno, "opening the container's files");
        // The root directory of the container has the owner and the mode of this one. Without root there is one owner.
        if (::chdir(layer) != 0 || ::mkdir("upper", 0755) != 0 || ::mkdir("work", 0700) != 0 ||
            (!rootless && ::chown("upper", status.st_uid, status.st_gid) != 0) ||
            ::chmod("upper", status.st_mode & 07777) != 0)
            fail(errno, "preparing memory for the container's root directory");
        // By its descriptor: a path may hold what the options take for a separator, and containers can read it.
        std::snprintf(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=upper,workdir=work%s", shared,
                      rootless ? ",userxattr" : "");
        if (::mount("overlay", path, "overlay", MS_NODEV | nosuid, options) != 0)
            fail(errno, "mounting the container's root directory");
        if (::chdir("/") != 0)
            fail(errno, "leaving the container's root directory");
    }
};

void write_file(const char* path, const char* text)
{
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, text, std::strlen(text)) < 0)
        fail(errno, "setting the user of a user namespace");
    ::close(file);
}

void enter_user_namespace()
{
    char users[32], groups[32];
    std::snprintf(users, sizeof users, "0 %u 1", ::geteuid());
    std::snprintf(groups, sizeof groups, "0 %u 1", ::getegid());
    if (::unshare(CLONE_NEWUSER) != 0)
        fail(errno, "making a user namespace");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", users);
    write_file("/proc/self/gid_map", groups);
}

/// In a user namespace a mount that was there before cannot be taken away, only covered.
void hide(const char* path, bool rootless)
{
    if (rootless)
        ::mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=4k");
    else
        ::umount2(path, MNT_DETACH);
}

}  // namespace

void mount_and_execute(int argc, char** argv, char** envp)
{
    // It must outlive the library's process, to take away what belongs to its container.
    ::prctl(PR_SET_PDEATHSIG, 0);
    Root root;
    const char* hidden = nullptr;
    auto** runtime = read_settings(argc, argv, 2, [&](const Setting& setting) {
        const auto* value = setting.value();
        if (setting.is("detach"))
            hidden = value;
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
        else if (setting.is("rootless"))
            root.rootless = true;
        else
            Setting::refuse();
    });
    if (root.rootless)
        enter_user_namespace();
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        fail(errno, "making a mount namespace");
    if (hidden != nullptr)
        hide(hidden, root.rootless);
    root.make();
    ::execve(runtime[0], runtime + 1, envp);
    fail(errno, "starting the container runtime");
}

}  // namespace init
