// SPDX-License-Identifier: MIT
// How instancer-init reads its settings and says what failed.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace init {

/// Says what failed and why, as "ERRNO STEP" where a report was asked for, and ends.
[[noreturn]] void fail(int error, const char* step);

/// Reports failures to that descriptor, which no program inherits.
void report_to(int descriptor);

/// The number that `text` begins with; `text` is then what follows it.
inline unsigned long long number(const char*& text)
{
    char* end = nullptr;
    errno = 0;
    const auto value = std::strtoull(text, &end, 10);
    if (end == text || errno != 0)
        fail(EINVAL, "reading a number among its settings");
    text = end;
    return value;
}

/// `KEY=VALUE`
class Setting {
public:
    explicit Setting(const char* text) : key_(text), value_(std::strchr(text, '='))
    {
        if (value_ == nullptr)
            fail(EINVAL, "reading its settings");
        length_ = static_cast<std::size_t>(value_++ - text);
    }

    bool is(const char* key) const { return std::strlen(key) == length_ && std::strncmp(key_, key, length_) == 0; }
    const char* value() const { return value_; }

    /// It belongs to a library that is newer than this program.
    [[noreturn]] static void refuse() { fail(ENOSYS, "reading settings of another version of the library"); }

private:
    const char* key_;
    const char* value_;
    std::size_t length_ = 0;
};

/// Hands each setting before "--" to `read`. Returns where the program is named, with `least` arguments or more.
template <class Read>
char** read_settings(int argc, char** argv, int least, const Read& read)
{
    int at = 2;
    for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at)
        read(Setting(argv[at]));
    if (argc - at - 1 < least)
        fail(EINVAL, "reading which program to execute");
    return argv + at + 1;
}

/// `exec`: takes a user and executes a program.
[[noreturn]] void execute(int argc, char** argv, char** envp);

/// `mounts`: gives a container runtime the mounts of one container, and executes it.
[[noreturn]] void mount_and_execute(int argc, char** argv, char** envp);

/// `supervise`: is the first process of a container.
[[noreturn]] void supervise(int argc, char** argv);

}  // namespace init
