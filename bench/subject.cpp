// SPDX-License-Identifier: MIT
#include "subject.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.hpp"

extern char** environ;

namespace bench {

Subject::Subject(std::string name, std::uint16_t port, const std::vector<std::string>& command)
    : name_(std::move(name)), port_(port)
{
    std::vector<char*> arguments;
    for (const auto& argument : command)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (std::getenv("BENCH_VERBOSE") == nullptr) {
        ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    }
    const int error = ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        throw std::runtime_error("cannot start " + command.front() + ": " + std::strerror(error));
    for (int attempt = 0; attempt < 500; ++attempt) {
        if (Connection probe; probe.open(port_))
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    throw std::runtime_error(name_ + " does not listen");
}

Subject::~Subject()
{
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
}

std::uint16_t fresh_port()
{
    static std::uint16_t next = static_cast<std::uint16_t>(15000 + ::getpid() % 4000);
    for (;; ++next)
        if (Connection probe; !probe.open(next))
            return next++;
}

std::string find_program(const std::string& program)
{
    for (const char* directory : {"/usr/sbin/", "/usr/bin/", "/usr/local/bin/", "/usr/local/sbin/"})
        if (::access((directory + program).c_str(), X_OK) == 0)
            return directory + program;
    return {};
}

std::string temporary_file(const std::string& name, const std::string& text)
{
    class Directory {
    public:
        Directory()
        {
            char path[] = "/tmp/instancer-bench.XXXXXX";
            path_ = ::mkdtemp(path);
        }
        ~Directory() { std::filesystem::remove_all(path_); }
        const std::string& path() const { return path_; }

    private:
        std::string path_;
    };
    static const Directory directory;
    const auto path = directory.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
}

}  // namespace bench
