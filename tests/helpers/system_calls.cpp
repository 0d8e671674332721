// SPDX-License-Identifier: MIT
// system_calls: says what the system answers to calls that a container may and may not make, in one line.
#include <cerrno>
#include <cstdio>

#include <sched.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

void say(long result)
{
    static const char* separator = "";
    const auto* answer = result >= 0 ? "0" : errno == ENOSYS ? "ENOSYS" : errno == EPERM ? "EPERM" : "another error";
    std::printf("%s%s", separator, answer);
    separator = " ";
}

}  // namespace

int main()
{
    say(::syscall(SYS_clone3, nullptr, 0));
    say(::unshare(CLONE_NEWUSER));
    say(::socket(AF_ALG, SOCK_SEQPACKET, 0));
    say(::socket(AF_INET, SOCK_STREAM, 0));
    say(::personality(PER_LINUX32));
    say(::syscall(SYS_add_key, "user", "name", "text", 4, -1));
    say(::syscall(SYS_io_uring_setup, 1, nullptr));
    unsigned long context = 0;
    say(::syscall(SYS_io_setup, 1, &context));
    std::printf("\n");
    return 0;
}
