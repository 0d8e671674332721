// SPDX-License-Identifier: MIT
#include "oci_seccomp.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/backend/oci_seccomp_filter.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/text/split.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail::inline oci {

using nlohmann::json;

namespace {

// Names of the kernel's calls. Which of them are harmless was looked up in Moby's default profile for a container
// without capabilities (github.com/moby/profiles), of whose text nothing is here. Some are left out: no clock is set,
// asynchronous I/O draws on a number that the whole host shares, and sockets are those that a network of its own is
// good for.
constexpr std::string_view file_calls =
    "_llseek access arm_fadvise64_64 arm_sync_file_range cachestat chdir chmod chown chown32 close close_range "
    "copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod "
    "fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock "
    "fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
    "getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr "
    "lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open "
    "openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr "
    "setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range "
    "sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 "
    "utimes vmsplice write writev";

constexpr std::string_view memory_calls =
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease "
    "remap_file_pages";

constexpr std::string_view process_calls =
    "arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait "
    "futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid "
    "getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid "
    "getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self modify_ldt pidfd_open pidfd_send_signal prctl prlimit64 "
    "process_vm_readv process_vm_writev ptrace restart_syscall rseq sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address set_tls setfsgid "
    "setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid "
    "setuid32 tgkill tkill ugetrlimit uretprobe vfork wait4 waitid waitpid";

constexpr std::string_view signal_calls =
    "alarm pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask "
    "sigreturn";

constexpr std::string_view time_calls =
    "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64 times";

constexpr std::string_view waiting_calls =
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll "
    "ppoll ppoll_time64 pselect6 pselect6_time64 select";

constexpr std::string_view socket_calls =
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair";

constexpr std::string_view queue_calls =
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 "
    "shmat shmctl shmdt shmget";

constexpr std::string_view system_calls = "getrandom sysinfo uname";

constexpr std::string_view allowed[] = {file_calls,    memory_calls, process_calls, signal_calls, time_calls,
                                        waiting_calls, socket_calls, queue_calls,   system_calls};

/// Whose calls have an argument on which it depends.
constexpr std::array<std::uint64_t, 4> socket_families = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
/// Linux and 32-bit Linux, each also with UNAME26, and the question which it is.
constexpr std::array<std::uint64_t, 5> personalities = {0, 0x8, 0x20000, 0x20008, 0xffffffff};
constexpr std::uint64_t new_namespaces =
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

/// Calls that are of use with a capability alone.
constexpr std::pair<std::string_view, std::string_view> allowed_with[] = {
    {"CAP_BPF", "bpf"},
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_PERFMON", "perf_event_open"},
    {"CAP_SYS_ADMIN", "bpf clone fanotify_init fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree "
                      "perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns syslog umount "
                      "umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module finit_module init_module"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
    {"CAP_SYS_RAWIO", "ioperm iopl"},
    {"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYSLOG", "syslog"},
};

bool is_among(const auto& list, const auto& name) { return std::ranges::find(list, name) != std::ranges::end(list); }

std::vector<std::string> allowed_calls(const std::vector<std::string>& capabilities)
{
    std::vector<std::string> names;
    const auto add = [&](std::string_view group) {
        for (auto& name : split(group, ' '))
            if (!is_among(names, name))
                names.push_back(std::move(name));
    };
    for (const auto group : allowed)
        add(group);
    for (const auto& [capability, group] : allowed_with)
        if (is_among(capabilities, capability))
            add(group);
    return names;
}

/// The architectures whose programs this processor runs, the kernel's own first.
std::vector<std::uint32_t> architectures()
{
    const auto native = seccomp_arch_native();
    switch (native) {
    case SCMP_ARCH_X86_64: return {native, SCMP_ARCH_X86, SCMP_ARCH_X32};
    case SCMP_ARCH_AARCH64: return {native, SCMP_ARCH_ARM};
    default: return {native};
    }
}

std::string_view name_of_architecture(std::uint32_t architecture)
{
    switch (architecture) {
    case SCMP_ARCH_X86_64: return "SCMP_ARCH_X86_64";
    case SCMP_ARCH_X86: return "SCMP_ARCH_X86";
    case SCMP_ARCH_X32: return "SCMP_ARCH_X32";
    case SCMP_ARCH_AARCH64: return "SCMP_ARCH_AARCH64";
    case SCMP_ARCH_ARM: return "SCMP_ARCH_ARM";
    default: return {};
    }
}

json names_of_architectures()
{
    auto names = json::array();
    for (const auto architecture : architectures())
        if (const auto name = name_of_architecture(architecture); !name.empty())
            names.push_back(name);
    return names;
}

/// How Docker calls the kernel's own architecture.
std::string_view native_name()
{
    switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64: return "amd64";
    case SCMP_ARCH_AARCH64: return "arm64";
    default: return {};
    }
}

/// What a member holds; nothing where it is null or missing. Throws where it is of another type.
template <class T>
T member(const json& object, const char* name)
{
    const auto found = object.value(name, json());
    return found.is_null() ? T() : found.get<T>();
}

/// Whether a rule of Docker's holds for containers with these capabilities on this machine. A runtime would take each.
bool is_for(const json& rule, const std::vector<std::string>& capabilities)
{
    const json includes = member<json::object_t>(rule, "includes"), excludes = member<json::object_t>(rule, "excludes");
    const auto needed = member<std::vector<std::string>>(includes, "caps");
    const auto unwanted = member<std::vector<std::string>>(excludes, "caps");
    const auto architectures = member<std::vector<std::string>>(includes, "arches");
    const auto others = member<std::vector<std::string>>(excludes, "arches");
    const auto has = [&](const std::string& name) { return is_among(capabilities, name); };
    const auto is_native = [](const std::string& name) { return name == native_name(); };
    return std::ranges::all_of(needed, has) && std::ranges::none_of(unwanted, has) &&
           (architectures.empty() || std::ranges::any_of(architectures, is_native)) &&
           std::ranges::none_of(others, is_native);
}

/// The rules that hold here. Throws where one is of no use to a runtime.
json rules_for(const std::vector<json>& rules, const std::vector<std::string>& capabilities)
{
    auto held = json::array();
    for (const auto& rule : rules) {
        static_cast<void>(member<std::vector<std::string>>(rule, "names"));
        static_cast<void>(rule.at("action").get<std::string>());
        if (is_for(rule, capabilities))
            held.push_back(rule);
    }
    return held;
}

/// A filter that is being made. The first failure stays.
class Filter {
public:
    Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM)))
    {
        for (const auto architecture : architectures())
            if (architecture != seccomp_arch_native())
                check(seccomp_arch_add(context_, architecture));
        check(seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));
    }
    Filter(const Filter&) = delete;
    ~Filter() { seccomp_release(context_); }

    /// A call that this libseccomp does not know cannot be allowed.
    template <class... Arguments>
    void add(std::uint32_t action, const std::string& name, Arguments... arguments)
    {
        const int call = seccomp_syscall_resolve_name(name.c_str());
        if (call != __NR_SCMP_ERROR)
            check(seccomp_rule_add(context_, action, call, sizeof...(arguments), arguments...));
    }

    Result<std::string> finish() const
    {
        const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
        if (error_ != 0 || !file || seccomp_export_bpf(context_, file.get()) != 0)
            return fail(Errc::backend_unavailable, "making the filter of system calls failed in libseccomp: " +
                                                       system_error(error_ != 0 ? error_ : EIO).message());
        std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
        if (::pread(file.get(), program.data(), program.size(), 0) != static_cast<ssize_t>(program.size()))
            return fail(last_error(), "reading the filter of system calls");
        return program;
    }

private:
    void check(int result)
    {
        if (result != 0 && error_ == 0)
            error_ = -result;
    }

    scmp_filter_ctx context_;
    int error_ = 0;
};

json rule(const char* action, std::vector<std::string> names)
{
    return {{"names", std::move(names)}, {"action", action}};
}

json rule(const char* name, const char* comparison, std::uint64_t value)
{
    auto allowing = rule("SCMP_ACT_ALLOW", {name});
    allowing["args"] = {{{"index", 0}, {"value", value}, {"op", comparison}}};
    return allowing;
}

}  // namespace

Result<std::string> seccomp_program(const std::vector<std::string>& capabilities)
{
    Filter filter;
    for (const auto& name : allowed_calls(capabilities))
        filter.add(SCMP_ACT_ALLOW, name);
    for (const auto family : socket_families)
        filter.add(SCMP_ACT_ALLOW, "socket", SCMP_A0(SCMP_CMP_EQ, family));
    for (const auto personality : personalities)
        filter.add(SCMP_ACT_ALLOW, "personality", SCMP_A0(SCMP_CMP_EQ, personality));
    filter.add(SCMP_ACT_ALLOW, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, new_namespaces, 0));
    // Its flags cannot be looked at. Programs that are told so use the other one.
    filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
    return filter.finish();
}

json seccomp_rules(const std::vector<std::string>& capabilities)
{
    auto rules = json::array({rule("SCMP_ACT_ALLOW", allowed_calls(capabilities))});
    for (const auto family : socket_families)
        rules.push_back(rule("socket", "SCMP_CMP_EQ", family));
    for (const auto personality : personalities)
        rules.push_back(rule("personality", "SCMP_CMP_EQ", personality));
    rules.push_back(rule("clone", "SCMP_CMP_MASKED_EQ", new_namespaces));
    rules.back()["args"][0]["valueTwo"] = 0;
    rules.push_back(rule("SCMP_ACT_ERRNO", {"clone3"}));
    rules.back()["errnoRet"] = ENOSYS;
    return {{"defaultAction", "SCMP_ACT_ERRNO"},
            {"defaultErrnoRet", EPERM},
            {"architectures", names_of_architectures()},
            {"syscalls", std::move(rules)}};
}

Result<json> seccomp_rules_of(std::string_view filter, const std::vector<std::string>& capabilities)
{
    auto rules = json::parse(filter, nullptr, false);
    if (!rules.is_object() || !rules.contains("defaultAction") || !rules["defaultAction"].is_string())
        return fail(Errc::bad_request, "the filter of system calls is no JSON object with a defaultAction");
    if (rules.erase("archMap") != 0)
        rules["architectures"] = names_of_architectures();
    try {
        rules["syscalls"] = rules_for(member<std::vector<json>>(rules, "syscalls"), capabilities);
    } catch (const json::exception&) {
        return fail(Errc::bad_request, "the syscalls of the filter of system calls are no list of objects, each with "
                                       "names and an action");
    }
    return rules;
}

}  // namespace instancer::detail::inline oci

namespace instancer {

Result<void> check_seccomp_filter(std::string_view filter)
{
    if (const auto rules = detail::oci::seccomp_rules_of(filter, {}); !rules)
        return fail(rules.error());
    return {};
}

}  // namespace instancer
