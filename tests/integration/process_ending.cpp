// SPDX-License-Identifier: MIT
// However an instance or the whole daemon ends, everything that was started ends with it.
#include <daemon.hpp>
#include <guards.hpp>
#include <no_descriptors.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

#include <sys/ptrace.h>
#include <sys/wait.h>

using namespace service_test;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

namespace {

/// Starts a child, one in a session of its own, and one that no longer has a parent, none of which mind TERM or HUP;
/// says how many processes there are now, and does the same as `cat`.
constexpr auto family = R"(
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
ready, tell = os.pipe()
def live_on():
    for fd in (0, 1, 2):
        os.close(fd)
    os.write(tell, b'x')
    while True:
        time.sleep(1000)
if os.fork() == 0:
    live_on()
if os.fork() == 0:
    os.setsid()
    live_on()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        live_on()
    os._exit(0)
for _ in range(3):
    os.read(ready, 1)
print(4, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
while data := os.read(0, 65536):
    os.write(1, data)
)";

ServiceOptions family_service()
{
    auto options = ServiceOptions::python(family);
    options.process.stop_grace = 300ms;
    return options;
}

const bool is_root = ::geteuid() == 0;

}  // namespace

TEST_CASE("ending: children that left their session and their parent end with their instance")
{
    Service service(family_service());
    RawClient client(service.port()), other(service.port());
    REQUIRE(client.receive_line() == "4");
    REQUIRE(other.receive_line() == "4");
    CHECK(eventually([&] { return service.leftovers().processes().size() == 8; }));

    SUBCASE("when the client leaves") { client.close(); }
    SUBCASE("when the client resets") { client.reset(); }
    SUBCASE("when it ends by itself")
    {
        client.half_close();
        CHECK(client.receive_all().empty());
        CHECK(client.ended_in_order());
    }
    SUBCASE("when it is killed") { ::kill(pid_of(service.events().record().started.front()), SIGKILL); }
    REQUIRE(service.events().wait_for_instances(1));
    CHECK(service.leftovers().processes().size() == 4);
    service.stop();
    CHECK(service.over());
    CHECK(service.leftovers().processes().empty());
    CHECK(zombies() <= 1);  // The guard may have ended already.
}

TEST_CASE("ending: first TERM, then KILL after the grace time")
{
    SUBCASE("a program that obeys has the time that it needs")
    {
        auto options = ServiceOptions::shell("trap 'sleep 0.2; echo bye >&2; exit' TERM; echo ready\n"
                                             "while :; do sleep 0.01; done");
        options.process.stop_grace = 20s;
        Service service(options);
        RawClient client(service.port());
        REQUIRE(client.receive_line() == "ready");
        client.reset();
        CHECK(service.events().wait_for_output("bye"));
        CHECK(service.events().wait_for_instances(1));
    }
    SUBCASE("a program gets TERM once: the second one is an order to many")
    {
        auto options = ServiceOptions::python("import signal, sys\n"
                                              "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
                                              "print('ready', flush=True)\n"
                                              "signal.sigwait([signal.SIGTERM])\n"
                                              "again = signal.sigtimedwait([signal.SIGTERM], 0.2)\n"
                                              "print('twice' if again else 'once', file=sys.stderr, flush=True)\n");
        options.process.stop_grace = 20s;
        Service service(options);
        RawClient client(service.port());
        REQUIRE(client.receive_line() == "ready");
        client.reset();
        REQUIRE(service.events().wait_for_instances(1));
        CHECK(service.events().record().output == std::vector<std::string>{"once"});
    }
    SUBCASE("a program that does not obey is killed")
    {
        auto options = ServiceOptions::shell("trap '' TERM HUP; echo ready; while :; do sleep 0.01; done");
        options.process.stop_grace = 300ms;
        Service service(options);
        RawClient client(service.port());
        REQUIRE(client.receive_line() == "ready");
        const auto begin = std::chrono::steady_clock::now();
        client.reset();
        REQUIRE(service.events().wait_for_instances(1));
        CHECK(std::chrono::steady_clock::now() - begin >= 300ms);
        CHECK(service.leftovers().processes().empty());
    }
    SUBCASE("a program that stands still is killed")
    {
        auto options = ServiceOptions::shell("echo ready; kill -STOP $$");
        options.process.stop_grace = 300ms;
        Service service(options);
        RawClient client(service.port());
        REQUIRE(client.receive_line() == "ready");
        client.reset();
        CHECK(service.events().wait_for_instances(1));
    }
}

TEST_CASE("ending: a program whose session has ended may finish its work before it gets TERM")
{
    const TemporaryDirectory directory;
    auto options = ServiceOptions::python("import os, signal, sys, time\n"
                                          "def told(*_):\n"
                                          "    os.write(2, b'told to end\\n')\n"
                                          "    os._exit(5)\n"
                                          "signal.signal(signal.SIGTERM, told)\n"
                                          "sys.stdin.read()\n"
                                          "os.close(0)\n"
                                          "os.close(1)\n"
                                          "while not os.path.exists(os.environ['GO']):\n"
                                          "    time.sleep(0.005)\n"
                                          "os.write(2, b'done\\n')\n"
                                          "os._exit(3)\n");
    options.process.env.emplace_back("GO", directory.path("go"));
    options.process.stop_grace = 20s;
    const auto complete_session = [](Service& service) {
        RawClient client(service.port());
        client.half_close();
        CHECK(client.receive_all().empty());
        CHECK(client.ended_in_order());
        CHECK(service.events().session_end() == SessionEnd::completed);
    };
    SUBCASE("and is not told to end when it does")
    {
        Service service(options);
        complete_session(service);
        directory.file("go", "");
        REQUIRE(service.events().wait_for_instances(1));
        const auto record = service.events().record();
        CHECK(record.output == std::vector<std::string>{"done"});
        CHECK(record.instances.front().end == InstanceEnd::exited);
        CHECK(record.instances.front().detail == "exit code 3");
    }
    SUBCASE("for the grace time at most")
    {
        options.process.stop_grace = 300ms;
        Service service(options);
        complete_session(service);
        REQUIRE(service.events().wait_for_instances(1));
        const auto record = service.events().record();
        CHECK(record.output == std::vector<std::string>{"told to end"});
        CHECK(record.instances.front().end == InstanceEnd::unused);
    }
    SUBCASE("unless the service stops")
    {
        Service service(options);
        complete_session(service);
        service.stop();
        CHECK(service.over(10s));
        CHECK(service.events().record().output == std::vector<std::string>{"told to end"});
    }
}

TEST_CASE("ending: a program that ends as its client does has ended by itself, every time")
{
    auto options = ServiceOptions::shell("cat; exit 1");
    unsigned rounds = 50;
    SUBCASE("standard input and output") {}
    SUBCASE("a port")
    {
        rounds = 10;
        options = ServiceOptions::python("import socket, sys\n"
                                         "client = socket.create_server(('127.0.0.1', int(sys.argv[1]))).accept()[0]\n"
                                         "while client.recv(100):\n"
                                         "    pass\n"
                                         "client.close()\n"
                                         "sys.exit(1)\n",
                                         ProcessIo::port, {"{port}"});
        options.pool.linger = 0s;
    }
    Service service(options);
    for (unsigned i = 0; i < rounds; ++i) {
        RawClient client(service.port());
        client.half_close();
        CHECK(client.receive_all().empty());
    }
    REQUIRE(service.events().wait_for_instances(rounds));
    for (const auto& instance : service.events().record().instances) {
        CHECK(instance.end == InstanceEnd::exited);
        CHECK(instance.detail == "exit code 1");
    }
}

TEST_CASE("ending: a process that runs as root cannot hold up its end" * doctest::skip(!is_root))
{
    const std::string preamble = "root=$(awk '$3 == \"cgroup2\" {print $2; exit}' /proc/mounts)\n"
                                 "own=$root$(sed -n 's/^0:://p' /proc/self/cgroup)\n";
    auto options = ServiceOptions::shell("");
    SUBCASE("by leaving its control group")
    {
        options = ServiceOptions::shell(preamble + "echo $$ > $root/cgroup.procs; trap '' TERM; echo ready\n"
                                                   "while :; do sleep 0.01; done");
    }
    SUBCASE("by making control groups below its own")
    {
        options = ServiceOptions::shell(preamble + "mkdir -p $own/a/b $own/c; echo $$ > $own/a/b/cgroup.procs\n"
                                                   "echo ready; read line");
    }
    options.process.stop_grace = 300ms;
    Service service(options);
    RawClient client(service.port());
    CHECK(client.receive_line() == "ready");
    client.reset();
    CHECK(service.events().wait_for_instances(1));
    CHECK(eventually([&] { return service.leftovers().processes().empty(); }));
    CHECK(service.events().record().warnings.empty());
}

TEST_CASE("ending: a control group that could not be watched is none, and none is left" * doctest::skip(!is_root))
{
    const auto name = "test" + std::to_string(::getpid()) + "-unwatched";
    const auto groups = detail::ControlGroup::create(name);
    REQUIRE(groups);
    {
        const NoDescriptors lack;
        CHECK_FALSE(groups->take());
    }
    CHECK_FALSE(std::filesystem::exists(groups->path() + "/1"));
    CHECK(groups->take());
    detail::clear_control_group(groups->path());
}

namespace {

using daemon_test::Daemon;

/// Unique among all daemons of all tests.
std::string unique_name()
{
    static unsigned count = 0;
    return "end" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

class FamilyDaemon {
public:
    explicit FamilyDaemon(const std::string& name, std::vector<std::string> before = {},
                          const std::string& program = test_paths::instancerd)
        : leftovers_(name, "exec", "FAMILY=" + name), daemon_(command(name, std::move(before), program), {}, -1)
    {
    }

    Daemon& operator*() noexcept { return daemon_; }
    Daemon* operator->() noexcept { return &daemon_; }
    const Leftovers& leftovers() const noexcept { return leftovers_; }

    /// The processes of ours that watch over it.
    std::vector<pid_t> guards() const
    {
        return daemon_test::guards(
            [this](const std::string& pid) { return daemon_test::is_child_of(daemon_.pid(), pid); });
    }

private:
    static std::vector<std::string> command(const std::string& name, std::vector<std::string> words,
                                            const std::string& program)
    {
        for (const auto* word : {program.c_str(), "exec", "--listen", "127.0.0.1:0", "--stop-grace", "300ms", "--name",
                                 name.c_str(), "--env"})
            words.emplace_back(word);
        words.push_back("FAMILY=" + name);
        for (const auto* word : {"--", "/usr/bin/python3", "-I", "-S", "-c", family, "{dir}"})
            words.emplace_back(word);
        return words;
    }

    Leftovers leftovers_;
    Daemon daemon_;
};

/// A copy of instancerd that any user can run.
std::string public_instancerd(const TemporaryDirectory& directory)
{
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    std::filesystem::copy_file(test_paths::instancerd, directory.path("instancerd"));
    return directory.path("instancerd");
}

const std::vector<std::string> as_nobody{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};

void check_that_nothing_outlives(const std::string& program, const std::vector<std::string>& before)
{
    const auto name = unique_name();
    FamilyDaemon daemon(name, before, program);
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 5; ++i) {
        clients.push_back(std::make_unique<RawClient>(daemon->port()));
        REQUIRE(clients.back()->receive_line() == "4");
    }
    CHECK(daemon.leftovers().processes().size() == 20);
    const auto guards = daemon.guards();
    REQUIRE(guards.size() == 1);

    SUBCASE("KILL")
    {
        daemon->signal(SIGKILL);
        CHECK(daemon->wait() == 128 + SIGKILL);
        CHECK(eventually([&] { return daemon.leftovers().processes().empty(); }));
        CHECK(eventually([&] { return daemon.leftovers().control_groups().empty(); }));
        CHECK(eventually([&] { return !runs(guards.front()); }));
        for (auto& client : clients)
            CHECK(client->receive_all().empty());
    }
    SUBCASE("KILL of the guard as well, and a next start")
    {
        ::kill(guards.front(), SIGSTOP);
        daemon->signal(SIGKILL);
        CHECK(daemon->wait() == 128 + SIGKILL);
        ::kill(guards.front(), SIGKILL);
        REQUIRE(eventually([&] { return !runs(guards.front()); }));
        CHECK(!daemon.leftovers().processes().empty());
        CHECK(!daemon.leftovers().directories().empty());
        {
            FamilyDaemon next(name, before, program);
            CHECK(eventually([&] { return daemon.leftovers().processes().empty(); }));
            CHECK(eventually([&] { return daemon.leftovers().directories().size() == 1; }));  // The new one's own.
            CHECK(daemon.leftovers().control_groups().size() <= 1);
            CHECK(next->terminate() == 0);
        }
        CHECK(eventually([&] { return daemon.leftovers().none(); }));
    }
    SUBCASE("KILL of the guard alone, whose place another takes")
    {
        const auto begin = std::chrono::steady_clock::now();
        ::kill(guards.front(), SIGKILL);
        CHECK(daemon->wait_for_line("instancer-guard, was killed; another takes its place") != "");
        const auto successor = [&](pid_t former) {
            pid_t found = former;
            REQUIRE(eventually([&] {
                if (const auto now = daemon.guards(); now.size() == 1)
                    found = now.front();
                return found != former;
            }));
            return found;
        };
        // One that dies at once is replaced after a pause.
        const auto second = successor(guards.front());
        ::kill(second, SIGKILL);
        CHECK(daemon->wait_for_line("another takes its place", 2) != "");
        successor(second);
        CHECK(std::chrono::steady_clock::now() - begin >= 1s);
        daemon->signal(SIGKILL);
        CHECK(daemon->wait() == 128 + SIGKILL);
        CHECK(eventually([&] { return daemon.leftovers().none(); }));
    }
    SUBCASE("a next start while the guard still has to remove leaves that to it, without a warning")
    {
        ::kill(guards.front(), SIGSTOP);
        daemon->signal(SIGKILL);
        CHECK(daemon->wait() == 128 + SIGKILL);
        {
            FamilyDaemon next(name, before, program);
            CHECK(daemon.leftovers().directories().size() == 2);
            ::kill(guards.front(), SIGCONT);
            CHECK(eventually([&] { return daemon.leftovers().directories().size() == 1; }));
            CHECK(next->terminate() == 0);
            CHECK(next->count("cannot be removed") == 0);
        }
        CHECK(eventually([&] { return daemon.leftovers().none(); }));
    }
    SUBCASE("an end in order")
    {
        clients.clear();
        CHECK(daemon->terminate() == 0);
        CHECK(daemon.leftovers().none());
        CHECK(!runs(guards.front()));
    }
    SUBCASE("an end in order while the guard is stopped, as an instance of the same user can do")
    {
        ::kill(guards.front(), SIGSTOP);
        clients.clear();
        CHECK(daemon->terminate() == 0);
        CHECK(daemon.leftovers().none());
        CHECK(!runs(guards.front()));
    }
}

}  // namespace

TEST_CASE("ending: a daemon that is killed takes everything with it")
{
    check_that_nothing_outlives(test_paths::instancerd, {});
}

TEST_CASE("ending: so does one without a control group, as an ordinary user")
{
    if (!is_root)
        return check_that_nothing_outlives(test_paths::instancerd, {});
    const TemporaryDirectory directory;
    check_that_nothing_outlives(public_instancerd(directory), as_nobody);
}

TEST_CASE("ending: a process that is kept from ending holds up neither its service nor the daemon")
{
    Daemon daemon(
        {"exec", "--listen", "127.0.0.1:0", "--stop-grace", "1ms", "--drain-timeout", "1s", "--", "/bin/cat"});
    RawClient client(daemon.port());
    client.send("x");
    REQUIRE(client.receive(1) == "x");
    const auto line = daemon.wait_for_line("instance started");
    const auto pid = std::atoi(line.substr(line.find("pid ") + 4).c_str());
    REQUIRE(pid > 0);
    // It stops on its way out until we let it go on.
    REQUIRE(::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACEEXIT) == 0);
    client.reset();
    CHECK(daemon.wait_for_line("it was killed and does not end") != "");
    CHECK(daemon.terminate() == 0);
    int status = 0;
    CHECK(::waitpid(pid, &status, __WALL) == pid);
    ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

TEST_CASE("ending: a private directory goes, whatever its instance forbade in it")
{
    const TemporaryDirectory directory;
    auto command = is_root ? as_nobody : std::vector<std::string>();
    const auto name = unique_name();
    for (const auto& word : {is_root ? public_instancerd(directory) : test_paths::instancerd, std::string("exec"),
                             std::string("--listen"), std::string("127.0.0.1:0"), std::string("--name"), name})
        command.push_back(word);
    for (const auto* word : {"--workdir", "{dir}", "--", "/bin/sh", "-c",
                             "mkdir -p a/b/c && ln -s / a/b/root && chmod 0 a/b/c && chmod 100 a/b && chmod 0 a . &&"
                             "echo done"})
        command.emplace_back(word);
    const Leftovers leftovers(name, "exec");
    Daemon daemon(command, {}, -1);
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "done\n");
    REQUIRE(leftovers.directories().size() == 1);
    // What is being removed is moved to one place first, which stays.
    CHECK(eventually([&] {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(leftovers.directories().front()))
            if (entry.path().filename() != ".removing")
                return false;
        return true;
    }));
    CHECK(daemon.terminate() == 0);
    CHECK(leftovers.directories().empty());
}

TEST_CASE("ending: Ctrl-C reaches the daemon and neither the instances nor the guard")
{
    FamilyDaemon daemon(unique_name(), {"setsid"});
    RawClient client(daemon->port());
    REQUIRE(client.receive_line() == "4");
    REQUIRE(::kill(-daemon->pid(), SIGINT) == 0);  // As a terminal does it: to the whole group.
    CHECK(eventually([&] { return !RawClient(daemon->port()).connected(); }));
    client.send("still there");
    CHECK(client.receive(11) == "still there");
    CHECK(daemon.guards().size() == 1);
    client.close();
    CHECK(daemon->wait() == 0);
    CHECK(daemon.leftovers().none());
}

TEST_CASE("ending: a daemon without standard input and output serves all the same")
{
    FamilyDaemon daemon(unique_name(), {"/bin/sh", "-c", "exec \"$@\" <&- >&-", "sh"});
    RawClient client(daemon->port());
    CHECK(client.receive_line() == "4");
    client.send("hello");
    CHECK(client.receive(5) == "hello");
}

TEST_CASE("ending: an instance that traces another one does not hold up its end" * doctest::skip(!is_root))
{
    auto options = ServiceOptions::python("import ctypes, os, sys, time\n"
                                          "print(os.getpid(), flush=True)\n"
                                          "other = int(sys.stdin.readline())\n"
                                          "print(ctypes.CDLL(None).ptrace(0x4206, other, 0, 0), flush=True)\n"
                                          "time.sleep(1000)\n");
    options.process.command[2] = "-s";  // With ctypes.
    options.process.stop_grace = 100ms;
    Service service(options);
    RawClient tracer(service.port());
    REQUIRE(tracer.receive_line() != "");
    RawClient other(service.port());
    tracer.send(other.receive_line() + "\n");
    REQUIRE(tracer.receive_line() == "0");
    other.reset();
    CHECK(service.events().wait_for_instances(1));
    tracer.reset();
    CHECK(service.events().wait_for_instances(2));
    CHECK(eventually([] { return zombies() == 0; }));
}
