// SPDX-License-Identifier: MIT
// Instances that run as other users: what they can do to the daemon and to each other.
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using namespace std::chrono_literals;
using service_test::eventually;

namespace {

const bool is_root = ::geteuid() == 0;

/// Users that no other test has at the same time, also of another run of these.
const unsigned first_user = 200'000 + static_cast<unsigned>(::getpid()) % 10'000 * 100;
const auto user = std::to_string(first_user) + ":" + std::to_string(first_user);
const auto users = std::to_string(first_user) + "-" + std::to_string(first_user + 63);

/// Answers, or stops the next 120 process ids again and again, for a minute at most.
const Words attack_or_answer = {"/usr/bin/python3", "-I", "-S", "-c", R"(
import os, signal, sys, time
if sys.stdin.readline() != 'attack\n':
    print('served', flush=True)
    sys.exit()
print('attacking', flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    last = int(open('/proc/loadavg').read().split()[-1])
    for pid in range(last, last + 121):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGSTOP)
            except OSError:
                pass
)"};

/// Four instances that attack, of which one at least is at it.
std::vector<std::unique_ptr<RawClient>> attack(const Daemon& daemon)
{
    std::vector<std::unique_ptr<RawClient>> attackers;
    for (int i = 0; i < 4; ++i) {
        attackers.push_back(std::make_unique<RawClient>(daemon.port()));
        attackers.back()->send("attack\n");
        if (i == 0)
            REQUIRE(attackers.back()->receive_line() == "attacking");
    }
    return attackers;
}

void check_that_no_start_hangs(const Words& options)
{
    Daemon daemon(exec(options, attack_or_answer));
    const auto attackers = attack(daemon);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(std::make_unique<RawClient>(daemon.port()));
        clients.back()->send("hello\n");
    }
    CHECK(eventually(
        [&] { return daemon.count("instance started") + daemon.count("session ended: start failed") >= 24; }));
    CHECK(daemon.terminate() == 0);
}

}  // namespace

TEST_CASE("users: instances that stop all processes of their user keep no start and no end from going on" *
          doctest::skip(!is_root))
{
    SUBCASE("with instancer-init") { check_that_no_start_hangs({"--user", user, "--drain-timeout", "300ms"}); }
    SUBCASE("without it: who has not executed its program after a second is killed")
    {
        const TemporaryDirectory directory;
        std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
        std::filesystem::copy_file(test_paths::instancerd, directory.path("instancerd"));
        Words command = exec({"--user", user, "--drain-timeout", "300ms"}, attack_or_answer);
        command.insert(command.begin(), directory.path("instancerd"));
        Daemon daemon(command, {}, -1);
        CHECK(daemon.wait_for_line("there is no instancer-init beside instancerd") != "");
        const auto attackers = attack(daemon);
        std::vector<std::unique_ptr<RawClient>> clients;
        for (int i = 0; i < 12; ++i)
            clients.push_back(std::make_unique<RawClient>(daemon.port()));
        CHECK(eventually(
            [&] { return daemon.count("instance started") + daemon.count("session ended: start failed") >= 16; }));
        CHECK(daemon.terminate() == 0);
    }
}

TEST_CASE("users: with a user for each instance nobody else notices an attack" * doctest::skip(!is_root))
{
    Daemon daemon(exec({"--user", users, "--drain-timeout", "300ms"}, attack_or_answer));
    const auto attackers = attack(daemon);
    for (int i = 0; i < 20; ++i) {
        RawClient client(daemon.port());
        client.send("hello\n");
        CHECK(client.receive_line() == "served");
    }
    CHECK(daemon.count("session ended: start failed") == 0);
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("users: each instance of a range has a user, a group and a directory for itself, and gives them back" *
          doctest::skip(!is_root))
{
    const auto two = std::to_string(first_user) + "-" + std::to_string(first_user + 1);
    Daemon daemon(exec({"--user", two, "--workdir", "{dir}"},
                       {"/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G) $(stat -c %u .); touch mine; exec cat"}));
    const auto line_of = [](unsigned id) {
        const auto text = std::to_string(id);
        return text + " " + text + " " + text + " " + text;
    };
    RawClient first(daemon.port());
    CHECK(first.receive_line() == line_of(first_user));
    {
        RawClient second(daemon.port());
        CHECK(second.receive_line() == line_of(first_user + 1));
        RawClient third(daemon.port());
        CHECK(third.receive_all() == "");
        CHECK(third.ended_by_reset());
        CHECK(daemon.wait_for_line("session ended: refused") != "");
    }
    REQUIRE(daemon.wait_for_line("instance ended: ") != "");
    RawClient next(daemon.port());
    CHECK(next.receive_line() == line_of(first_user + 1));
}

TEST_CASE("users: a start that fails says why, as without another user" * doctest::skip(!is_root))
{
    const TemporaryDirectory directory;
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    const auto secret = directory.path("secret");
    std::filesystem::create_directory(secret);
    std::filesystem::permissions(secret, std::filesystem::perms(0700));
    const auto program = directory.file("program", "#!/bin/sh\n", true);
    std::filesystem::permissions(program, std::filesystem::perms(0700));
    const auto says = [](const Words& options, const Words& command, const std::string& text) {
        Daemon daemon(exec(options, command));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        CHECK(daemon.wait_for_line(text) != "");
    };
    says({"--user", user, "--workdir", secret}, {"/bin/cat"},
         "/bin/cat: changing to its working directory: Permission denied");
    says({"--user", user}, {program}, program + ": starting the program: Permission denied");
}

TEST_CASE("users: an instance opens its standard output and error by name, and other users do not" *
          doctest::skip(!is_root))
{
    for (const auto& whom : {user, users}) {
        Daemon terminal(
            exec({"--user", whom, "--pty"}, {"/bin/sh", "-c", "stat -Lc %a /dev/stdout; echo hi >/dev/stdout"}));
        RawClient client(terminal.port());
        CHECK(client.receive_all() == "600\nhi\n");
        Daemon pipe(exec({"--user", whom}, {"/bin/sh", "-c", "stat -Lc %a /dev/stderr; echo hi >/dev/stderr"}));
        RawClient other(pipe.port());
        CHECK(other.receive_all() == "600\n");
        CHECK(pipe.wait_for_line("| hi") != "");
    }
}

TEST_CASE("users: a range that cannot be used is refused" * doctest::skip(!is_root))
{
    const auto says = [](const Words& options, const std::string& text) {
        Child child(instancerd(exec(options, {"/bin/cat"})));
        CHECK(child.wait() == 2);
        CHECK(child.whole_log().find(text) != std::string::npos);
    };
    says({"--user", "0-10"}, "'0-10' is not a range of users; write 70000-70063");
    says({"--user", "70063-70000"}, "'70063-70000' runs backwards; write 70000-70063");
    says({"--user", "65000-65600"}, "holds the user nobody, whose files instances would own");
    says({"--user", users, "--max-instances", "65"}, "is more than the 64 users of --user");
    says({"--user", users, "--warm", "65"}, "is more than the 64 users of --user");
}

TEST_CASE("processes write no core files unless that is asked for")
{
    const Words program = {"/bin/sh", "-c", "ulimit -Hc"};
    Daemon plain(exec({}, program));
    RawClient client(plain.port());
    CHECK(client.receive_all() == "0\n");
    rlimit ours{};
    if (::getrlimit(RLIMIT_CORE, &ours) != 0 || (ours.rlim_max < 1 << 20 && !is_root))
        return;
    Daemon asked(exec({"--limit-core", "1m"}, program));
    RawClient other(asked.port());
    CHECK(other.receive_all() == "2048\n");  // Of 512 bytes each.
}
