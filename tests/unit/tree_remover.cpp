// SPDX-License-Identifier: MIT
// Whatever an instance leaves in its directory goes, or is named.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/fs.h>

#include <instancer/detail/process/tree_remover.hpp>
#include <temporary_directory.hpp>

using daemon_test::TemporaryDirectory;
using instancer::UniqueFd;
using instancer::detail::TreeRemover;

namespace {

/// While it exists this process has room for a few more descriptors alone.
class FewDescriptors {
public:
    explicit FewDescriptors(rlim_t more)
    {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const UniqueFd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        auto few = before_;
        few.rlim_cur = static_cast<rlim_t>(next.get()) + more;
        ::setrlimit(RLIMIT_NOFILE, &few);
    }
    FewDescriptors(const FewDescriptors&) = delete;
    ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

/// A directory with one entry, `instance`, and what a removal says.
class Tree {
public:
    Tree() { std::filesystem::create_directory(path()); }

    std::string path(const std::string& name = {}) const { return root_.path("instance" + name); }
    const std::string& root() const { return root_path_; }
    const std::vector<std::string>& said() const { return said_; }

    void remove()
    {
        TreeRemover(root_path_, [this](const std::string& text) { said_.push_back(text); }).remove("instance");
    }
    void remove_all()
    {
        TreeRemover(root_path_, [this](const std::string& text) { said_.push_back(text); }).remove_all();
    }

private:
    TemporaryDirectory root_;
    std::string root_path_ = root_.path();
    std::vector<std::string> said_;
};

/// From now on nothing but directories can be removed in this thread.
void refuse_to_unlink_files()
{
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlinkat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AT_REMOVEDIR, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(filter), filter};
    REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/// Nested directories, deeper than any path reaches.
void nest(const std::string& path, int depth)
{
    UniqueFd at(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < depth; ++i) {
        REQUIRE(::mkdirat(at.get(), "d", 0700) == 0);
        at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
}

bool set_immutable(const std::string& path, bool on)
{
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    int flags = on ? FS_IMMUTABLE_FL : 0;
    return ::ioctl(file.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

}  // namespace

TEST_CASE("tree remover: a depth that no path reaches, with a handful of descriptors")
{
    Tree tree;
    nest(tree.path(), 3'000);
    {
        const FewDescriptors few(8);
        tree.remove();
    }
    CHECK(tree.said().empty());
    CHECK_FALSE(std::filesystem::exists(tree.path()));
    tree.remove_all();
    CHECK_FALSE(std::filesystem::exists(tree.root()));
}

TEST_CASE("tree remover: many entries, modes that forbid, names that are no text, links that lead elsewhere")
{
    Tree tree;
    const TemporaryDirectory elsewhere;
    const auto kept = elsewhere.file("kept", "x");
    for (int i = 0; i < 500; ++i)
        std::filesystem::create_directories(tree.path("/wide/" + std::to_string(i) + "/a"));
    std::filesystem::create_directories(tree.path("/closed/inner/most"));
    std::filesystem::create_symlink(elsewhere.path(), tree.path("/link"));
    std::filesystem::create_symlink(elsewhere.path(), tree.path("/closed/inner/link"));
    std::ofstream(tree.path("/\xff\n\x1b[31m")) << "x";
    ::mkfifo(tree.path("/fifo").c_str(), 0);
    for (const auto* closed : {"/closed/inner", "/closed", ""})
        ::chmod(tree.path(closed).c_str(), 0);
    tree.remove();
    CHECK(tree.said().empty());
    CHECK_FALSE(std::filesystem::exists(tree.path()));
    CHECK(std::filesystem::exists(kept));
}

TEST_CASE("tree remover: what is immutable or mounted is named and left, all else goes" *
          doctest::skip(::geteuid() != 0))
{
    Tree tree;
    std::filesystem::create_directories(tree.path("/a/b"));
    std::ofstream(tree.path("/a/file")) << "x";
    std::filesystem::create_directories(tree.path("/c/d"));
    SUBCASE("an immutable file")
    {
        if (!set_immutable(tree.path("/a/file"), true))
            return;
        tree.remove();
        REQUIRE(tree.said().size() == 1);
        CHECK(tree.said()[0].find("/file cannot be removed: Operation not permitted; it may be immutable: chattr -i") !=
              std::string::npos);
        // Where the message says.
        const auto place = tree.said()[0].substr(0, tree.said()[0].find(" cannot"));
        CHECK(set_immutable(place, false));
    }
    SUBCASE("a mount")
    {
        const auto mount = tree.path("/a/b");
        if (::mount("none", mount.c_str(), "tmpfs", 0, "size=64k") != 0)
            return;
        std::ofstream(mount + "/inside") << "x";
        tree.remove();
        REQUIRE(tree.said().size() == 1);
        CHECK(tree.said()[0].find("cannot be removed: Device or resource busy; it may be a mount: umount") !=
              std::string::npos);
        const auto place = tree.said()[0].substr(0, tree.said()[0].find(" cannot"));
        CHECK(std::filesystem::exists(place + "/inside"));
        CHECK(::umount(place.c_str()) == 0);
    }
    CHECK_FALSE(std::filesystem::exists(tree.path()));
    // Once it can be removed the next attempt does.
    tree.remove_all();
    CHECK_FALSE(std::filesystem::exists(tree.root()));
}

TEST_CASE("tree remover: does not try to unlink what it knows to be a directory")
{
    Tree tree;
    for (const auto* const name : {"/a/b/c", "/a/d", "/e"})
        std::filesystem::create_directories(tree.path(name));
    // The filter is the thread's own.
    std::thread([&] {
        refuse_to_unlink_files();
        tree.remove_all();
    }).join();
    CHECK(tree.said().empty());
    CHECK_FALSE(std::filesystem::exists(tree.root()));
}
