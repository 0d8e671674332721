// SPDX-License-Identifier: MIT
#include <array>
#include <csignal>
#include <string_view>

#include <doctest/doctest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/detail/process/process_marks.hpp>

namespace {

/// A process with a mark in its environment whose death waits, once it is killed, until it is let go.
class SlowToDie {
public:
    explicit SlowToDie(const char* mark)
    {
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
            ::execle("/bin/sleep", "sleep", "100", nullptr, std::array<const char*, 2>{mark, nullptr}.data());
            ::_exit(1);
        }
        wait_until_stopped();
        REQUIRE(::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL) == 0);
        REQUIRE(::ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0);
    }

    ~SlowToDie()
    {
        wait_until_stopped();
        ::ptrace(PTRACE_CONT, pid_, nullptr, nullptr);
        CHECK(::waitpid(pid_, &status_, 0) == pid_);
        CHECK(WIFSIGNALED(status_));
    }

private:
    void wait_until_stopped()
    {
        CHECK(::waitpid(pid_, &status_, 0) == pid_);
        CHECK(WIFSTOPPED(status_));
    }

    pid_t pid_ = -1;
    int status_ = 0;
};

}  // namespace

TEST_CASE("process marks: all processes are looked at once more after the last one was found, however slowly it dies")
{
    const char* mark = "INSTANCER_RUN=test.process_marks.1.2.3.4";
    const SlowToDie process(mark);
    int seen = 0;
    instancer::detail::kill_by_environment([&](std::string_view environment) {
        const bool ours = environment.starts_with(mark);
        seen += ours ? 1 : 0;
        return ours;
    });
    CHECK(seen == 2);
}
