// SPDX-License-Identifier: MIT
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

#include <map>
#include <set>
#include <sstream>

#include <fcntl.h>

#include <instancer/backend/unbound_limits.hpp>
#include <instancer/unique_fd.hpp>

using namespace service_test;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

namespace {

/// What a client gets that sends `input` and then no more.
std::string answer(Service& service, std::string_view input = {})
{
    RawClient client(service.port());
    client.send(input);
    client.half_close();
    auto text = client.receive_all();
    CHECK(client.ended_in_order());
    return text;
}

std::string random_bytes(std::size_t size)
{
    std::string bytes(size, '\0');
    unsigned state = 1;
    for (auto& byte : bytes)
        byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    return bytes;
}

std::vector<std::string> lines(const std::string& text)
{
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        all.push_back(line);
    return all;
}

bool is_hex(const std::string& text)
{
    return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

const bool is_root = ::geteuid() == 0;

/// Says how many children it could have.
constexpr auto fork_until_refused = "import os, signal\n"
                                    "made = 0\n"
                                    "try:\n"
                                    "    while made < 50:\n"
                                    "        if os.fork() == 0:\n"
                                    "            signal.pause()\n"
                                    "        made += 1\n"
                                    "except OSError:\n"
                                    "    pass\n"
                                    "print(made, flush=True)\n";

}  // namespace

TEST_CASE("stdio: any bytes pass both ways and both ends close in order")
{
    Service service(ServiceOptions({"/bin/cat"}));
    const auto data = random_bytes(3'000'000);
    RawClient client(service.port());
    std::thread sender([&] {
        client.send(data);
        client.half_close();
    });
    const auto echoed = client.receive_all();
    sender.join();
    CHECK(echoed == data);
    CHECK(client.ended_in_order());

    REQUIRE(service.events().wait_for_sessions(1));
    const auto session = service.events().record().sessions.front();
    CHECK(session.end == SessionEnd::completed);
    CHECK(session.bytes_up == data.size());
    CHECK(session.bytes_down == data.size());
}

TEST_CASE("stdio: an answer that comes after the client's half-close arrives whole")
{
    Service service(ServiceOptions::python("import sys,time\n"
                                           "data = sys.stdin.buffer.read()\n"
                                           "time.sleep(0.3)\n"
                                           "sys.stdout.buffer.write(data[::-1] * 1000)\n"));
    std::string expected;
    for (int i = 0; i < 1000; ++i)
        expected += "cba";
    CHECK(answer(service, "abc") == expected);
}

TEST_CASE("stdio: a program that ends at once has its say")
{
    Service service(ServiceOptions({"/bin/echo", "hello"}));
    for (int i = 0; i < 30; ++i) {
        RawClient client(service.port());
        CHECK(client.receive_all() == "hello\n");
        CHECK(client.ended_in_order());
    }
    CHECK(service.events().wait_for_instances(30));
    CHECK(service.leftovers().processes().empty());
    CHECK(zombies() == 0);
}

TEST_CASE("stdio: every connection gets a process of its own, also with warm ones and with one thread")
{
    auto options = ServiceOptions::shell("read line; echo $line $$");
    SUBCASE("cold") {}
    SUBCASE("warm") { options.pool.warm = 2; }
    SUBCASE("one thread") { options.threads = 1; }
    Service service(options);
    std::set<std::string> pids;
    for (int i = 0; i < 8; ++i) {
        const auto text = answer(service, "hi\n");
        REQUIRE(text.starts_with("hi "));
        pids.insert(text);
    }
    CHECK(pids.size() == 8);
}

TEST_CASE("stdio: a warm process has been started before its client came")
{
    auto options = ServiceOptions::shell("echo $$; cat");
    options.pool.warm = 2;
    Service service(options);
    REQUIRE(service.events().wait([](const auto& record) { return record.started.size() == 2; }));
    const auto started = service.events().record().started;
    RawClient client(service.port());
    const auto name = "pid " + client.receive_line();
    CHECK(std::find(started.begin(), started.end(), name) != started.end());
    CHECK(service.events().wait([](const auto& record) { return record.started.size() == 3; }));
    REQUIRE(service.events().wait([](const auto& record) { return !record.claimed.empty(); }));
    CHECK(service.events().record().claimed.front() == name);
}

TEST_CASE("stdio: standard error goes where it is sent")
{
    auto options = ServiceOptions::shell("echo out; echo problem >&2; printf 'no newline' >&2");
    SUBCASE("to the log, with the last line whole")
    {
        Service service(options);
        CHECK(answer(service) == "out\n");
        CHECK(service.events().wait_for_output("no newline"));
        CHECK(service.events().record().output == std::vector<std::string>{"problem", "no newline"});
    }
    SUBCASE("to the client")
    {
        options.process.stderr_to = StderrTo::client;
        Service service(options);
        CHECK(answer(service) == "out\nproblem\nno newline");
        CHECK(service.events().record().output.empty());
    }
    SUBCASE("nowhere")
    {
        options.process.stderr_to = StderrTo::null;
        Service service(options);
        CHECK(answer(service) == "out\n");
        CHECK(service.events().record().output.empty());
    }
}

TEST_CASE("stdio: a program that floods its standard error is held back, and does not hold up the others")
{
    auto options = ServiceOptions::shell("read line; test $line = flood && exec yes \"$(printf %4000s)\" >&2\n"
                                         "echo served");
    options.threads = 1;
    Service service(options);
    const auto begin = std::chrono::steady_clock::now();
    RawClient noisy(service.port());
    noisy.send("flood\n");
    REQUIRE(service.events().wait_for_output("  "));
    for (int i = 0; i < 50; ++i)
        CHECK(answer(service, "quiet\n") == "served\n");
    constexpr std::uint64_t in_a_second = 1024 * 1024;
    constexpr std::uint64_t pipe = 2 * 64 * 1024;  // And what its shell writes.
    const auto written = bytes_of(pid_of(service.events().record().started.front()), "wchar");
    const auto seconds = static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin) / 1s);
    CHECK(written <= (seconds + 1) * in_a_second + pipe);
    noisy.reset();
    CHECK(service.events().wait_for_instances(51));
    CHECK(service.events().wait_for_output("bytes omitted: too many in a second"));
}

TEST_CASE("stdio: a terminal")
{
    auto options = ServiceOptions::python("import os,signal,sys\n"
                                          "def gone(*_):\n"
                                          "    os.write(2, b'hung up\\n')\n"
                                          "    os._exit(0)\n"
                                          "signal.signal(signal.SIGHUP, gone)\n"
                                          "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                                          "tty = os.isatty(0) and os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()\n"
                                          "print(tty, os.environ['TERM'], flush=True)\n"
                                          "for line in sys.stdin:\n"
                                          "    print('got', line.strip(), flush=True)\n"
                                          "print('end', flush=True)\n");
    options.process.pty = TerminalMode::cooked;

    SUBCASE("is one, echoes nothing, and a half-close reads as its end")
    {
        Service service(options);
        CHECK(answer(service, "one\ntwo\n") == "True xterm\ngot one\ngot two\nend\n");
    }
    SUBCASE("a half-close after an unfinished line")
    {
        Service service(options);
        CHECK(answer(service, "one\ntwo") == "True xterm\ngot one\ngot two\nend\n");
    }
    SUBCASE("a half-close ends a shell too whose command has met it already")
    {
        options = ServiceOptions({"/bin/sh"});
        options.process.pty = TerminalMode::cooked;
        Service service(options);
        CHECK(answer(service, "PS1=; cat; cat\nword").ends_with("word"));
    }
    SUBCASE("hangs up when the client resets")
    {
        Service service(options);
        RawClient client(service.port());
        CHECK(client.receive_line() == "True xterm");
        client.reset();
        CHECK(service.events().wait_for_output("hung up"));
        CHECK(service.events().session_end() == SessionEnd::client_reset);
    }
}

TEST_CASE("stdio: the environment holds what is configured, what we tell, and nothing of ours")
{
    ::setenv("OURS", "secret", 1);
    ServiceOptions options({"/usr/bin/env"});
    options.process.env = {{"GREETING", "hi there"}, {"EMPTY", ""}};
    std::map<std::string, std::string> found;
    const auto ask = [&found](Service& service) {
        found.clear();
        RawClient client(service.port());
        for (const auto& line : lines(client.receive_all()))
            found[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
        found.erase("INSTANCER_RUN");  // There only where no control group is to be had.
        return std::to_string(client.local_port());
    };

    SUBCASE("with the client")
    {
        Service service(options);
        const auto port = ask(service);
        CHECK(is_hex(found["INSTANCER_IDENTITY"]));
        CHECK(is_hex(found["INSTANCER_OWNER"]));
        found.erase("INSTANCER_IDENTITY");
        found.erase("INSTANCER_OWNER");
        const std::map<std::string, std::string> expected{
            {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            {"GREETING", "hi there"},
            {"EMPTY", ""},
            {"INSTANCER_SERVICE", service.name()},
            {"INSTANCER_CLIENT_ADDRESS", "127.0.0.1"},
            {"INSTANCER_CLIENT_PORT", port},
            {"INSTANCER_LISTEN_PORT", std::to_string(service.port())},
        };
        CHECK(found == expected);
    }
    SUBCASE("without")
    {
        options.process.client_env = false;
        options.process.env.emplace_back("PATH", "/nowhere");
        Service service(options);
        ask(service);
        const std::map<std::string, std::string> expected{
            {"PATH", "/nowhere"}, {"GREETING", "hi there"}, {"EMPTY", ""}, {"INSTANCER_SERVICE", service.name()}};
        CHECK(found == expected);
    }
    ::unsetenv("OURS");
}

TEST_CASE("stdio: a process inherits no descriptor, no signal mask and no ignored signal")
{
    const UniqueFd careless(::open("/dev/null", O_RDONLY));  // Without O_CLOEXEC.
    Service service(ServiceOptions::python("import os,sys\n"
                                           "print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))\n"
                                           "lines = open('/proc/self/status')\n"
                                           "status = dict(line.split(':\\t', 1) for line in lines)\n"
                                           "print(status['SigBlk'].strip(), status['SigIgn'].strip())\n"
                                           "sys.stdout.flush()\n"
                                           "sys.stdin.read()\n"));
    RawClient first(service.port()), second(service.port());
    for (auto* client : {&first, &second}) {
        CHECK(client->receive_line() == "[0, 1, 2, 3]");                       // The last one is the listing's own.
        CHECK(client->receive_line() == "0000000000000000 0000000001001000");  // Python itself ignores two.
    }
}

TEST_CASE("stdio: an instance passes no descriptor, whose close could take as long as it likes")
{
    constexpr int so_passrights = 83;  // The headers of older systems lack it.
    int refused = 0;
    socklen_t size = sizeof refused;
    const UniqueFd any(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::getsockopt(any.get(), SOL_SOCKET, so_passrights, &refused, &size) != 0) {
        MESSAGE("this system cannot refuse descriptors");
        return;
    }
    Service service(
        ServiceOptions::python("import array, socket\n"
                               "ours = socket.socket(fileno=1)\n"
                               "rights = array.array('i', [0])\n"
                               "try:\n"
                               "    ours.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])\n"
                               "except PermissionError:\n"
                               "    ours.sendall(b'refused')\n"));
    CHECK(answer(service) == "refused");
}

TEST_CASE("stdio: limits take effect")
{
    auto options = ServiceOptions::python("import os\n"
                                          "try:\n"
                                          "    bytearray(256 << 20)\n"
                                          "    print('memory')\n"
                                          "except MemoryError:\n"
                                          "    print('no memory')\n"
                                          "count = 0\n"
                                          "try:\n"
                                          "    while True:\n"
                                          "        os.dup(0)\n"
                                          "        count += 1\n"
                                          "except OSError:\n"
                                          "    print(count + 3)\n");
    // Without a control group it is the address space; with one, whoever has too much is killed.
    const bool grouped = instancer::can_limit_groups(instancer::GroupLimit::memory);
    if (!grouped)
        options.process.limit_memory = 128 << 20;
    options.process.limit_nofile = 40;
    Service service(options);
    CHECK(answer(service) == (grouped ? "memory\n40\n" : "no memory\n40\n"));
}

TEST_CASE("stdio: with control groups limits hold for an instance as a whole, and for root" *
          doctest::skip(!is_root || !instancer::can_limit_groups(instancer::GroupLimit::memory) ||
                        !instancer::can_limit_groups(instancer::GroupLimit::pids) ||
                        !instancer::can_limit_groups(instancer::GroupLimit::cpu)))
{
    SUBCASE("memory: two processes that would each have enough")
    {
        auto options = ServiceOptions::python("import os, signal\n"
                                              "child = os.fork()\n"
                                              "have = b'x' * (40 << 20)\n"
                                              "if child == 0:\n"
                                              "    signal.pause()\n"
                                              "print(os.waitpid(child, 0)[1], flush=True)\n"
                                              "os._exit(137)\n");
        options.process.limit_memory = 64 << 20;
        Service service(options);
        RawClient client(service.port());
        const auto said = client.receive_line();
        CAPTURE(said);
        // One of them was killed; of its child's end the program tells as a shell does.
        CHECK((said.empty() || said == "9"));
        REQUIRE(service.events().wait_for_instances(1));
        const auto detail = service.events().record().instances.front().detail;
        CAPTURE(detail);
        CHECK(detail.find("(oom: out of memory, see limit-memory)") != std::string::npos);
    }
    SUBCASE("processes")
    {
        auto options = ServiceOptions::python(fork_until_refused);
        options.process.limit_pids = 8;
        Service service(options);
        // What one has does not count for the other.
        RawClient first(service.port()), second(service.port());
        CHECK(first.receive_line() == "7");
        CHECK(second.receive_line() == "7");
    }
    SUBCASE("processors")
    {
        auto options = ServiceOptions::python("import time\n"
                                              "begin = time.monotonic()\n"
                                              "while time.process_time() < 0.1:\n"
                                              "    pass\n"
                                              "print(time.monotonic() - begin > 0.3, flush=True)\n");
        options.process.limit_cpus = 0.2;
        Service service(options);
        RawClient client(service.port());
        CHECK(client.receive_line() == "True");
    }
}

TEST_CASE("stdio: a limit on processes holds for another user" * doctest::skip(!is_root))
{
    auto options = ServiceOptions::python(fork_until_refused);
    options.process.user = ProcessUser(54321, 54321, {});
    options.process.limit_pids = 8;
    Service service(options);
    RawClient client(service.port());
    CHECK(client.receive_line() == "7");
    client.close();
    CHECK(service.events().wait_for_instances(1));
    CHECK(service.leftovers().processes().empty());
}

TEST_CASE("stdio: user, group and groups are another's, for good" * doctest::skip(!is_root))
{
    ServiceOptions options({"/bin/sh", "-c", "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status; id -u"});
    options.process.user = ProcessUser(54321, 54322, {54323, 54324});
    Service service(options);
    const auto found = lines(answer(service));
    REQUIRE(found.size() == 5);
    CHECK(found[0] == "Uid:\t54321\t54321\t54321\t54321");
    CHECK(found[1] == "Gid:\t54322\t54322\t54322\t54322");
    CHECK(found[2].starts_with("Groups:\t54323 54324"));
    CHECK(found[3] == "CapEff:\t0000000000000000");
    CHECK(::geteuid() == 0);
}

TEST_CASE("stdio: working directory")
{
    const TemporaryDirectory directory;
    ServiceOptions options({"./where.sh"});
    options.process.working_directory = directory.path();
    directory.file("where.sh", "#!/bin/sh\npwd\n", true);
    Service service(options);
    CHECK(answer(service) == directory.path() + "\n");
}

TEST_CASE("stdio: a private directory for each instance, a copy of the template, gone with it")
{
    const TemporaryDirectory source;
    source.file("hello", "from the template");
    std::filesystem::create_directory(source.path("sub"));
    std::filesystem::create_symlink("hello", source.path("link"));
    auto options =
        ServiceOptions::shell("stat -c '%a %u' \"$1\"; pwd; echo $INSTANCER_DIR; echo $HERE; cat link; echo; ls; "
                              "echo mine > new; mkdir -p a/b; touch a/b/c; chmod 500 a/b; chmod 0 a\n"
                              "read line");
    options.process.command.insert(options.process.command.end(), {"sh", "{dir}"});
    options.process.env.emplace_back("HERE", "{dir}");
    options.process.dir_template = source.path();
    std::string owner = std::to_string(::geteuid());
    SUBCASE("ours") {}
    SUBCASE("another user's")
    {
        if (!is_root)
            return;
        owner = "54321";
        options.process.user = ProcessUser(54321, 54321, {});
        std::filesystem::permissions(source.path(), std::filesystem::perms(0700));
    }
    {
        Service service(options);
        RawClient first(service.port()), second(service.port());
        std::set<std::string> directories;
        for (auto* client : {&first, &second}) {
            CHECK(client->receive_line() == "700 " + owner);
            const auto directory = client->receive_line();
            directories.insert(directory);
            for (const auto* way : {"INSTANCER_DIR", "{dir} in the environment"}) {
                CAPTURE(way);
                CHECK(client->receive_line() == directory);
            }
            CHECK(client->receive_line() == "from the template");
            for (const auto* name : {"hello", "link", "sub"})
                CHECK(client->receive_line() == name);
        }
        CHECK(directories.size() == 2);
        first.half_close();
        CHECK(first.receive_all().empty());
        REQUIRE(service.events().wait_for_instances(1));
        std::size_t left = 0;
        for (const auto& directory : directories)
            left += std::filesystem::exists(directory) ? 1 : 0;
        CHECK(left == 1);
        second.half_close();
        CHECK(second.receive_all().empty());
        REQUIRE(service.events().wait_for_instances(2));
        CHECK(service.events().record().warnings.empty());
        service.stop();
        REQUIRE(service.over());
    }
    CHECK(std::filesystem::exists(source.path("hello")));
}

TEST_CASE("stdio: what cannot be started is said at once, with the remedy")
{
    const TemporaryDirectory directory;
    const auto error_of = [](std::vector<std::string> command) {
        Service service(ServiceOptions(std::move(command)));
        const auto result = service.result();
        REQUIRE(!result);
        CHECK(result.error() == Errc::bad_request);
        return result.error().message();
    };
    CHECK(error_of({"no-such-program"}).find("PATH") != std::string::npos);
    CHECK(error_of({directory.file("plain", "x")}).find("chmod +x") != std::string::npos);
    CHECK(
        error_of({directory.file("script", "#!/no/such/shell\n", true)}).find("names the interpreter /no/such/shell") !=
        std::string::npos);
    CHECK(error_of({directory.path()}).find("is a directory") != std::string::npos);
    CHECK(error_of({}).find("no command") != std::string::npos);
}

TEST_CASE("stdio: a program that the system refuses to run ends its client with a reset")
{
    const TemporaryDirectory directory;
    Service service(ServiceOptions({directory.file("program", "\177ELF, but only at first sight", true)}));
    RawClient client(service.port());
    CHECK(client.receive_all().empty());
    CHECK(client.ended_by_reset());
    CHECK(service.events().session_end() == SessionEnd::start_failed);
    CHECK(service.events().record().sessions.front().detail.find("name its interpreter first") != std::string::npos);
    CHECK(service.leftovers().processes().empty());
}

TEST_CASE("stdio: a full service refuses with a reset, and has room again when somebody leaves")
{
    ServiceOptions options({"/bin/cat"});
    options.pool.max_instances = 1;
    Service service(options);
    RawClient first(service.port());
    first.send("x");
    REQUIRE(first.receive(1) == "x");
    RawClient second(service.port());
    CHECK(second.receive_all().empty());
    CHECK(second.ended_by_reset());
    CHECK(service.events().session_end() == SessionEnd::limit_reached);
    first.close();
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(answer(service, "again") == "again");
}

TEST_CASE("stdio: time to live and silence end the connection with a reset")
{
    ServiceOptions options({"/bin/cat"});
    auto expected = SessionEnd::expired;
    SUBCASE("time to live") { options.pool.ttl = 300ms; }
    SUBCASE("silence")
    {
        options.pool.idle = 300ms;
        expected = SessionEnd::idle;
    }
    Service service(options);
    RawClient client(service.port());
    client.send("x");
    CHECK(client.receive_all() == "x");
    CHECK(client.ended_by_reset());
    CHECK(service.events().session_end() == expected);
    CHECK(service.events().wait_for_instances(1));
    CHECK(service.leftovers().processes().empty());
}

TEST_CASE("stdio: stopping ends a connection on which bytes pass all the time")
{
    for (int round = 0; round < 10; ++round) {
        Service service(ServiceOptions({"/bin/cat"}));
        RawClient client(service.port());
        std::thread sender([&] {
            const std::string data(1000, 'x');
            while (client.send(data)) {}
        });
        CHECK(client.receive(5000).size() == 5000);
        service.stop();
        client.receive_all();
        sender.join();
        CHECK(service.events().session_end() == SessionEnd::stopped);
    }
}
