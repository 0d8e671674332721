// SPDX-License-Identifier: MIT
// Where instancerd listens, and what it says when it cannot.
#include <filesystem>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <daemon.hpp>
#include <holds.hpp>
#include <listener.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <socket_address.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using instancer::UniqueFd;
using test_text::holds;

namespace {

using Words = std::vector<std::string>;

Words echo_on(const std::string& address, Words more = {})
{
    Words words = {"exec", "--listen", address};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

template <class Where>
bool echoes(const Where& where)
{
    RawClient client(where);
    client.send("ping");
    return client.receive(4) == "ping";
}

/// Runs until it ends by itself with 1, and returns what it said.
std::string failure(const Words& arguments)
{
    Child child(instancerd(arguments));
    CHECK(child.wait() == 1);
    return child.whole_log();
}

/// The first of as many ports that are free now.
int free_ports(int count)
{
    for (;;) {
        const Listener first;
        const auto port = std::stoi(first.port());
        std::vector<UniqueFd> others;
        bool all = true;
        for (int i = 1; i < count; ++i) {
            const SocketAddress next("127.0.0.1:" + std::to_string(port + i));
            others.push_back(next.make_socket());
            all = all && ::bind(others.back().get(), next.get(), next.size()) == 0;
        }
        if (all)
            return port;
    }
}

}  // namespace

TEST_CASE("a busy port is an error that names the address and a remedy")
{
    const Listener other;
    const auto address = "127.0.0.1:" + other.port();
    holds(failure(echo_on(address)),
          "cannot listen on " + address + ": Address already in use; stop the program that listens there");
    holds(failure(echo_on(":" + other.port())), "cannot listen on :" + other.port() + ": Address already in use");
    // Between two of ours too.
    Daemon daemon(echo_on("127.0.0.1:0"));
    holds(failure(echo_on(daemon.address(), {"--name", "another"})), "cannot listen on " + daemon.address());
    CHECK(echoes(daemon.port()));
}

TEST_CASE("addresses that this machine does not have, and names that nobody knows")
{
    holds(failure(echo_on("192.0.2.77:1")), "no such address");
    holds(failure(echo_on("no-such-host.invalid:1")), "write an address of this machine, or :1");
}

TEST_CASE("a port without an address takes IPv4 and IPv6; several addresses serve side by side")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon daemon(echo_on(":0", {"--listen", "unix:" + path, "--listen", "localhost:0"}), 3);
    CHECK(echoes(daemon.port(1)));
    CHECK(echoes(path));
    // The name may stand for an IPv6 address as well, in whatever order.
    const auto line = daemon.wait_for_line("listening on 127.0.0.1:");
    CHECK(echoes(static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)))));
}

TEST_CASE("Unix sockets: permissions, stale files, live ones, and no file left")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    const auto mode = [&] {
        struct stat status {};
        return ::stat(path.c_str(), &status) == 0 ? static_cast<int>(status.st_mode & 0777) : -1;
    };
    {
        Daemon daemon(echo_on("unix:" + path));
        CHECK(mode() == 0666);
        CHECK(daemon.address() == "unix:" + path);
        CHECK(echoes(path));
        holds(failure(echo_on("unix:" + path, {"--name", "another"})), "cannot listen on unix:" + path);
        CHECK(echoes(path));
        daemon.signal(SIGKILL);
        CHECK(daemon.wait() == 128 + SIGKILL);
    }
    REQUIRE(std::filesystem::exists(path));
    {
        Daemon daemon(echo_on("unix:" + path, {"--unix-mode", "0600"}));
        CHECK(mode() == 0600);
        CHECK(echoes(path));
        CHECK(daemon.terminate() == 0);
    }
    CHECK_FALSE(std::filesystem::exists(path));
    directory.file("s", "no socket");
    holds(failure(echo_on("unix:" + path)), "the path is another kind of file");
    CHECK(std::filesystem::file_size(path) == 9);
}

TEST_CASE("on a Unix socket the owner is the user at the other end" * doctest::skip(::geteuid() != 0))
{
    const TemporaryDirectory directory;
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    const auto path = directory.path("s");
    constexpr auto program = "import os, socket\n"
                             "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
                             "while True: s.accept()[0].sendall(os.environ['INSTANCER_OWNER'].encode() + b'\\n')\n";
    Daemon daemon(
        {"exec", "--listen", "unix:" + path, "--auth", "source", "--io", "port", "--", "python3", "-c", program});
    const auto owner_as = [&](uid_t uid) {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const UniqueFd read_end(ends[0]);
        UniqueFd write_end(ends[1]);
        const pid_t child = ::fork();
        if (child == 0) {
            const bool changed = ::setresuid(uid, uid, uid) == 0;
            RawClient client(path);
            const auto line = changed ? client.receive_line() : std::string();
            const auto written = ::write(write_end.get(), line.data(), line.size());
            ::_exit(written < 0);
        }
        write_end.reset();
        std::string owner(32, '\0');
        const auto count = ::read(read_end.get(), owner.data(), owner.size());
        owner.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        ::waitpid(child, nullptr, 0);
        return owner;
    };
    const auto root = owner_as(0), nobody = owner_as(65534);
    CHECK(root.size() == 32);
    CHECK(nobody.size() == 32);
    CHECK(root != nobody);
    CHECK(owner_as(65534) == nobody);
    CHECK(daemon.count("instance started") == 2);
}

TEST_CASE("a socket that systemd passes is served, and nobody inherits it")
{
    Listener listener;
    // As systemd does it: the pid is known only once the process is there.
    const auto look_around = "env | grep -c ^LISTEN_; ls /proc/self/fd | wc -l; exec cat";
    const auto passed = [&](const Words& arguments) {
        Words command = {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", test_paths::instancerd};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return command;
    };
    const Words variables = {"LISTEN_FDS=1", "LISTEN_FDNAMES=web"};
    const Words command = {"exec", "--listen", "fd:web", "--", "/bin/sh", "-c", look_around};
    Daemon daemon(passed(command), variables, listener.fd());
    CHECK(daemon.address() == "127.0.0.1:" + listener.port());
    RawClient client(daemon.port());
    CHECK(client.receive_line() == "0");
    CHECK(std::stoi(client.receive_line()) == 4);  // 0, 1, 2 and the one that ls reads with.
    client.send("ping");
    CHECK(client.receive(4) == "ping");

    Daemon elsewhere(passed(echo_on("127.0.0.1:0")), variables, listener.fd());
    CHECK(elsewhere.wait_for_line("no service listens on the socket web that the service manager passed") != "");

    holds(failure({"exec", "--listen", "fd:web", "--", "/bin/cat"}), "start it from a systemd socket unit with "
                                                                     "FileDescriptorName=web");
}

TEST_CASE("the service manager is told when clients are served, and when the end begins")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("notify");
    const UniqueFd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const SocketAddress address("unix:" + path);
    REQUIRE(::bind(manager.get(), address.get(), address.size()) == 0);
    const timeval limit{20, 0};
    ::setsockopt(manager.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const auto told = [&] {
        char text[100];
        const auto size = ::recv(manager.get(), text, sizeof text, 0);
        return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    };

    // One whose preparations fail has never been ready.
    Child failed(instancerd({"docker", "--listen", "127.0.0.1:0", "--engine", "unix://" + directory.path("none"),
                             "--image", "none", "--port", "1"}),
                 {"NOTIFY_SOCKET=" + path});
    CHECK(failed.wait() == 1);
    Daemon daemon(instancerd(echo_on("127.0.0.1:0")), {"NOTIFY_SOCKET=" + path}, -1);
    CHECK(told() == "READY=1");
    CHECK(echoes(daemon.port()));
    daemon.signal(SIGTERM);
    CHECK(told() == "STOPPING=1");
    CHECK(daemon.wait() == 0);
}

TEST_CASE("two live daemons cannot have one name; a dead one's is free again")
{
    const auto name = "test-" + std::to_string(::getpid());
    {
        Daemon daemon(echo_on("127.0.0.1:0", {"--name", name}));
        holds(failure(echo_on("127.0.0.1:0", {"--name", name})), "an instancerd named " + name + " runs already");
        daemon.signal(SIGKILL);
        CHECK(daemon.wait() == 128 + SIGKILL);
    }
    Daemon again(echo_on("127.0.0.1:0", {"--name", name}));
    CHECK(echoes(again.port()));
}

TEST_CASE("several services in one daemon")
{
    const TemporaryDirectory directory;
    directory.file("greet.sh", "#!/bin/sh\necho \"$INSTANCER_SERVICE $(cat greeting)\"\n", true);
    directory.file("greeting", "hello\n");
    const auto config = directory.file("c.json", R"({ // two services
      "drain-timeout": "1s", "max-instances": 1,
      "services": {
        "greet": { "mode": "exec", "listen": "127.0.0.1:0", "command": ["./greet.sh"] },
        "echo": { "mode": "exec", "listen": ["127.0.0.1:0", "unix:e.sock"], "command": ["cat"] }
      } })");
    Daemon daemon({"run", "--config", config}, 3);
    std::uint16_t greet = 0, echo = 0;
    for (std::size_t i = 1; i <= 3; ++i) {
        const auto line = daemon.wait_for_line(": listening on ", i);
        if (line.find("greet:") != std::string::npos)
            greet = daemon.port(i);
        else if (line.find("127.0.0.1") != std::string::npos)
            echo = daemon.port(i);
    }
    {
        // Relative paths, the program's own too, are relative to the configuration.
        RawClient client(greet);
        CHECK(client.receive_all() == "greet hello\n");
    }
    CHECK(daemon.wait_for_line("instance ended: ") != "");
    RawClient held(directory.path("e.sock"));
    held.send("a");
    CHECK(held.receive(1) == "a");
    // The top level's max-instances is one for all services together.
    RawClient refused(greet);
    CHECK(refused.receive_all() == "");
    CHECK(refused.ended_by_reset());
    held.half_close();
    CHECK(held.receive_all() == "");
    CHECK(daemon.wait_for_line("instance ended: ", 2) != "");
    CHECK(echoes(echo));
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("an abstract Unix socket, listened on and connected to, with a warning")
{
    const auto name = "unix:@instancer-test-" + std::to_string(::getpid());
    Daemon back(echo_on(name));
    CHECK(back.address() == name);
    CHECK(back.wait_for_line(name + " has no permissions: every user") != "");
    CHECK_FALSE(std::filesystem::exists(name.substr(5)));
    Daemon front({"forward", "--listen", "127.0.0.1:0", "--to", name});
    CHECK(echoes(front.port()));
    holds(failure(echo_on(name, {"--name", "another"})), "somebody listens there already");
}

TEST_CASE("the file of a Unix socket belongs to the owner and group that were asked for" *
          doctest::skip(::geteuid() != 0))
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon daemon(echo_on("unix:" + path, {"--unix-mode", "0660", "--unix-owner", "nobody", "--unix-group", "4711"}));
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK(status.st_uid == 65534);
    CHECK(status.st_gid == 4711);
    CHECK((status.st_mode & 0777) == 0660);
    CHECK(echoes(path));

    // Such a directory decides the group of its files.
    const auto deciding = directory.path("deciding");
    REQUIRE(::mkdir(deciding.c_str(), 0700) == 0);
    REQUIRE(::chmod(deciding.c_str(), 02700) == 0);
    holds(failure(echo_on("unix:" + deciding + "/s", {"--unix-group", "4711"})),
          "and not in a directory with the set-group-id bit");
    CHECK_FALSE(std::filesystem::exists(deciding + "/s"));
}

TEST_CASE("a range of ports is listened on as a whole, and an instance is told which one its first client used")
{
    const auto first = free_ports(3);
    const auto range = "127.0.0.1:" + std::to_string(first) + "-" + std::to_string(first + 2);
    Daemon daemon({"exec", "--listen", range, "--env", "FROM=env {listen-port}", "--", "/bin/sh", "-c",
                   "echo \"$1 $FROM $INSTANCER_LISTEN_PORT\"", "x", "{listen-port}"},
                  3);
    for (int port = first; port < first + 3; ++port) {
        const auto text = std::to_string(port);
        RawClient client(static_cast<std::uint16_t>(port));
        CHECK(client.receive_line() == text + " env " + text + " " + text);
    }
}
