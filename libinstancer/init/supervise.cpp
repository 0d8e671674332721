// SPDX-License-Identifier: MIT
// instancer-init supervise [KEY=VALUE]... -- PROGRAM [ARGUMENT]...
//
// The first process of a container: starts the program, reaps what ends, and ends all when the library goes. See
// SupervisorMessage for what the two say to each other. It runs as the container's user; nobody in the container can
// end, stop or trace it.
//
//   terminal=cooked|echo|raw   the program gets a terminal of that kind
//   sockets=                   the library may ask for sockets, to reach the program: see SocketRequest
#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <instancer/detail/process/supervisor_message.hpp>
#include <instancer/detail/process/terminal_settings.hpp>

#include "settings.hpp"

namespace init {

namespace {

using instancer::TerminalMode;
using instancer::detail::SocketRequest;
using instancer::detail::supervisor_descriptor;
using instancer::detail::SupervisorMessage;
using Kind = SupervisorMessage::Kind;

/// The program's standard input, output and error.
class Streams {
public:
    int of_program[3] = {-1, -1, -1};
    int terminal = -1;  ///< Our side of it.

    void close() const
    {
        for (const int descriptor : of_program)
            ::close(descriptor);
    }
};

/// A message of plain data, with a descriptor unless that is negative.
template <class Message>
void send(int to, Message message, int descriptor)
{
    iovec data{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        auto* part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
    }
    ::sendmsg(to, &header, MSG_NOSIGNAL);
}

void say(Kind kind, int value, int descriptor = -1)
{
    send(supervisor_descriptor, SupervisorMessage{kind, value}, descriptor);
}

/// The next message, with the descriptors that came with it. Without the library there is nothing to do.
SupervisorMessage hear(Streams& streams)
{
    SupervisorMessage message;
    iovec data{&message, sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof streams.of_program)] = {};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t size = 0;
    while ((size = ::recvmsg(supervisor_descriptor, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {}
    if (size != static_cast<ssize_t>(sizeof message))
        ::_exit(125);
    const auto* part = CMSG_FIRSTHDR(&header);
    if (part != nullptr && part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof streams.of_program))
        std::memcpy(streams.of_program, CMSG_DATA(part), sizeof streams.of_program);
    return message;
}

void open_terminal(Streams& streams, TerminalMode mode)
{
    int number = 0, unlock = 0;
    char name[32];
    streams.terminal = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (streams.terminal < 0 || ::ioctl(streams.terminal, TIOCSPTLCK, &unlock) != 0 ||
        ::ioctl(streams.terminal, TIOCGPTN, &number) != 0)
        fail(errno, "opening a terminal");
    std::snprintf(name, sizeof name, "/dev/pts/%d", number);
    const int theirs = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (theirs < 0 || !instancer::detail::set_terminal(theirs, mode))
        fail(errno, "opening a terminal");
    for (int& descriptor : streams.of_program)
        descriptor = ::fcntl(theirs, F_DUPFD_CLOEXEC, 4);
    ::close(theirs);
}

[[noreturn]] void become_program(const Streams& streams, char** program, int report)
{
    ::setsid();
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int descriptor = 0; descriptor < 3; ++descriptor)
        ::dup2(streams.of_program[descriptor], descriptor);
    if (streams.terminal >= 0)
        ::ioctl(0, TIOCSCTTY, 0);
    ::execvp(program[0], program);
    const int error = errno;
    static_cast<void>(!::write(report, &error, sizeof error));
    ::_exit(127);
}

/// Starts the program and says whether it was executed. `for_library` goes with that.
pid_t start(const Streams& streams, char** program, int for_library)
{
    int report[2];
    if (::pipe2(report, O_CLOEXEC) != 0)
        fail(errno, "making a pipe");
    const pid_t pid = ::fork();
    if (pid < 0)
        fail(errno, "starting a process");
    if (pid == 0)
        become_program(streams, program, report[1]);
    ::close(report[1]);
    int error = 0;
    ssize_t size = 0;
    while ((size = ::read(report[0], &error, sizeof error)) < 0 && errno == EINTR) {}
    ::close(report[0]);
    if (size == 0) {
        say(Kind::running, 0, for_library);
        return pid;
    }
    say(Kind::failed, error);
    ::_exit(error == ENOENT ? 127 : 126);
}

/// Whether `program` can be found, as execvp(3) looks for it.
int look(const char* program)
{
    if (std::strchr(program, '/') != nullptr)
        return ::access(program, X_OK) == 0 ? 0 : errno;
    const char* directories = std::getenv("PATH");
    int error = ENOENT;
    for (const char* at = directories; at != nullptr && *at != '\0';) {
        const auto length = std::strcspn(at, ":");
        char path[4096];
        std::snprintf(path, sizeof path, "%.*s/%s", static_cast<int>(length), at, program);
        if (::access(path, X_OK) == 0)
            return 0;
        if (errno != ENOENT)
            error = errno;
        at += length + (at[length] == ':');
    }
    return error;
}

/// Takes away what has ended. The status of the program once that is among it; else -1.
int reap(pid_t program)
{
    int status = 0, of_program = -1;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == program)
            of_program = status;
    return of_program;
}

[[noreturn]] void end(int status)
{
    ::kill(-1, SIGKILL);
    say(Kind::ended, status);
    // Until then the container is there to be looked at.
    Streams none;
    for (;;) {
        pollfd library{supervisor_descriptor, POLLIN, 0};
        ::poll(&library, 1, -1);
        if ((library.revents & POLLHUP) != 0)
            ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        hear(none);
    }
}

/// Gives the library a socket, if it still asks.
void give_socket(int requests)
{
    SocketRequest request;
    if (::recv(requests, &request, sizeof request, MSG_DONTWAIT) != static_cast<ssize_t>(sizeof request))
        return;
    const int socket = ::socket(request.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    request.error = socket < 0 ? errno : 0;
    send(requests, request, socket);
    ::close(socket);
}

/// Waits for the end of the program, or of the library. `requests` is negative if there are none.
[[noreturn]] void watch(pid_t program, int signals, int requests)
{
    Streams none;
    for (;;) {
        pollfd events[3] = {{supervisor_descriptor, POLLIN, 0}, {signals, POLLIN, 0}, {requests, POLLIN, 0}};
        ::poll(events, 3, -1);
        if ((events[2].revents & POLLIN) != 0)
            give_socket(requests);
        // The library has closed its end, and asks for nothing more.
        if ((events[2].revents & POLLHUP) != 0)
            requests = -1;
        if ((events[1].revents & POLLIN) != 0) {
            signalfd_siginfo signal{};
            static_cast<void>(!::read(signals, &signal, sizeof signal));
            if (const int status = reap(program); status >= 0)
                end(status);
        }
        if (events[0].revents != 0 && hear(none).kind == Kind::terminate)
            ::kill(-program, SIGTERM);
    }
}

int catch_ends()
{
    sigset_t all, ends;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::sigemptyset(&ends);
    ::sigaddset(&ends, SIGCHLD);
    const int signals = ::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        fail(errno, "watching the program");
    return signals;
}

/// The runtime's own standard streams are not for the program.
void leave_streams()
{
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int descriptor = 0; descriptor < 3; ++descriptor)
        ::dup2(nothing, descriptor);
    ::close(nothing);
}

}  // namespace

void supervise(int argc, char** argv)
{
    ::prctl(PR_SET_DUMPABLE, 0);
    ::fcntl(supervisor_descriptor, F_SETFD, FD_CLOEXEC);
    auto mode = TerminalMode::none;
    int requests[2] = {-1, -1};
    auto** program = read_settings(argc, argv, 1, [&](const Setting& setting) {
        if (setting.is("sockets") && ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests) == 0)
            return;
        if (!setting.is("terminal"))
            Setting::refuse();
        const auto is = [&](const char* name) { return std::strcmp(setting.value(), name) == 0; };
        mode = is("raw") ? TerminalMode::raw : is("echo") ? TerminalMode::echo : TerminalMode::cooked;
    });
    Streams streams;
    if (hear(streams).kind == Kind::look) {
        const int error = look(program[0]);
        say(error == 0 ? Kind::ended : Kind::failed, error);
        ::_exit(0);
    }
    if (mode != TerminalMode::none)
        open_terminal(streams, mode);
    const int signals = catch_ends();
    const auto pid = start(streams, program, requests[1] >= 0 ? requests[1] : streams.terminal);
    streams.close();
    ::close(streams.terminal);
    ::close(requests[1]);
    leave_streams();
    watch(pid, signals, requests[0]);
}

}  // namespace init
