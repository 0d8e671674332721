// SPDX-License-Identifier: MIT
// The process that takes away what a killed program's instances leave.
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/detail/process/cleanup_process.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/unique_fd.hpp>
#include <temporary_directory.hpp>

using daemon_test::TemporaryDirectory;
using instancer::UniqueFd;
using instancer::detail::CleanupProcess;
using instancer::detail::ControlGroup;

namespace {

/// In a child of a fork that was made while a ForkedAllocator exists, using the allocator ends the process.
std::atomic<bool> watches_forks{false}, forbids_allocating{false};

// Sanitizers have an allocator of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void use_allocator()
{
    if (forbids_allocating)
        ::_exit(1);
}
#endif

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(std::size_t size);
void __libc_free(void* block);

void* malloc(std::size_t size) noexcept
{
    use_allocator();
    return __libc_malloc(size);
}

void free(void* block) noexcept
{
    if (block != nullptr)
        use_allocator();
    __libc_free(block);
}
}
#endif

namespace {

class ForkedAllocator {
public:
    ForkedAllocator()
    {
        static const int registered =
            ::pthread_atfork(nullptr, nullptr, [] { forbids_allocating = watches_forks.load(); });
        REQUIRE(registered == 0);
        watches_forks = true;
    }
    ForkedAllocator(const ForkedAllocator&) = delete;
    ~ForkedAllocator() { watches_forks = false; }
};

/// A process that sleeps, with `mark` as its environment.
class Sleeper {
public:
    explicit Sleeper(const std::string& mark)
    {
        // Its environment is that of the new program when this returns.
        char program[] = "/bin/sleep", seconds[] = "100";
        char* const arguments[] = {program, seconds, nullptr};
        auto variable = mark;
        char* const environment[] = {variable.data(), nullptr};
        REQUIRE(::posix_spawn(&pid_, program, nullptr, nullptr, arguments, environment) == 0);
    }
    Sleeper(const Sleeper&) = delete;
    ~Sleeper()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    bool ends_in_time() const
    {
        const UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
        pollfd waiting{end.get(), POLLIN, 0};
        return ::poll(&waiting, 1, 10'000) == 1;
    }

private:
    pid_t pid_ = -1;
};

/// Deep, wide, and partly closed to its owner.
void make_tree(const std::filesystem::path& root)
{
    auto directory = root;
    for (int depth = 0; depth < 50; ++depth)
        directory /= "directory with a long name";
    std::filesystem::create_directories(directory);
    std::filesystem::create_directories(root / "closed" / "inner");
    std::ofstream(root / "closed" / "inner" / "file") << "text";
    for (int i = 0; i < 500; ++i)
        std::ofstream(root / ("file " + std::to_string(i))) << i;
    std::filesystem::permissions(root / "closed", std::filesystem::perms::none);
}

}  // namespace

TEST_CASE("cleanup process: removes what is left without the allocator, which may be locked since the fork")
{
    const TemporaryDirectory directory;
    const auto mark = "INSTANCER_RUN=test.cleanup_process." + std::to_string(::getpid()) + ".";
    const std::vector<std::string> trees{directory.path("a tree with quite a long name"), directory.path("gone")};
    make_tree(trees.front());
    const Sleeper sleeper(mark + "1");
    {
        const ForkedAllocator watched;
        const auto process = CleanupProcess::start({}, mark, trees);
        REQUIRE(process);
        CHECK(std::filesystem::exists(trees.front()));
    }
    CHECK(sleeper.ends_in_time());
    CHECK_FALSE(std::filesystem::exists(trees.front()));
}

TEST_CASE("cleanup process: removes control groups without the allocator")
{
    const auto groups = ControlGroup::create("test-cleanup-process-" + std::to_string(::getpid()));
    if (!groups)
        return;
    const auto inner = groups->take();
    REQUIRE(inner);
    REQUIRE(std::filesystem::create_directory(inner->path() + "/a group of an instance"));
    {
        const ForkedAllocator watched;
        REQUIRE(CleanupProcess::start(groups->path(), {}, {}));
    }
    CHECK_FALSE(std::filesystem::exists(groups->path()));
}
