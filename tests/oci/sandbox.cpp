// SPDX-License-Identifier: MIT
// `exec --sandbox`: each claim is tested from inside.
#include <daemon.hpp>
#include <exec_words.hpp>
#include <oci_support.hpp>
#include <raw_client.hpp>

#include <cstring>
#include <set>

#include <sys/stat.h>

using daemon_test::Daemon;
using daemon_test::exec;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;
using daemon_test::Words;
using oci_test::runtimes;

namespace {

/// A directory of this host that everybody may enter.
class Folder : public TemporaryDirectory {
public:
    Folder() { std::filesystem::permissions(path(), std::filesystem::perms(0755)); }
};

Words sandbox(Words options, const Words& command)
{
    options.insert(options.begin(), "--sandbox");
    return exec(options, command);
}

/// All that a service says to one client that sends `input`.
std::string talk(const Daemon& daemon, const std::string& input)
{
    RawClient client(daemon.port());
    client.send(input);
    client.half_close();
    return client.receive_all();
}

/// Runs a shell script in a sandbox.
std::string inside(const std::string& runtime, const std::string& script, Words options = {})
{
    options.insert(options.end(), {"--runtime", runtime});
    const Daemon daemon(sandbox(options, {"sh"}));
    return talk(daemon, "exec 2>&1\n" + script + "\n");
}

void check_has(const std::string& text, const std::string& part)
{
    CHECK_MESSAGE(text.find(part) != text.npos, part << " in " << text);
}

}  // namespace

TEST_CASE("sandbox: programs of this host run in it, and nothing else of this host is there")
{
    const Folder secrets;
    const auto configuration = secrets.file("instancerd.json", "secret\n");
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const auto said = inside(runtime, "ls -A /home | wc -l; id -u; hostname; ls /sys/class/net;"
                                          "ls /root; cat /etc/shadow; cat " +
                                              configuration +
                                              "; ls /tmp | wc -l; touch /usr/x; touch /etc/x; touch /x; touch /home/x;"
                                              "touch /tmp/x && echo room; ls /var; cat /etc/passwd; date +%Z");
        CHECK(said.starts_with("0\n65534\nexec\n"));
        check_has(said, "lo\n");
        for (const auto* missing : {"'/root': No such", "/etc/shadow: No such", "instancerd.json: No such"})
            check_has(said, missing);
        for (const auto* place : {"/usr/x", "/etc/x", "/x", "/home/x"})
            check_has(said, "'" + std::string(place) + "': Read-only file system");
        check_has(said, "room\n");
        check_has(said, "root:x:0:0:root:/home:/bin/sh\nnobody:x:65534");
    }
}

TEST_CASE("sandbox: it sees no process of this host, and reaches no network")
{
    asio::io_context context;
    asio::ip::tcp::acceptor host(context, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const auto port = std::to_string(host.local_endpoint().port());
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        // The supervisor, the shell, and what it starts.
        const auto processes = inside(runtime, "for p in /proc/[0-9]*; do cat $p/comm; done");
        CHECK(processes.starts_with("instancer-init\nsh\n"));
        CHECK_MESSAGE(std::count(processes.begin(), processes.end(), '\n') <= 4, processes);
        check_has(inside(runtime, "exec bash -c '</dev/tcp/127.0.0.1/" + port + "'"), "Connection refused");
        CHECK(inside(runtime, "ls /sys/class/net") == "lo\n");
        const auto status = inside(runtime, "cat /proc/self/status");
        for (const auto* line : {"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"})
            check_has(status, line);
    }
}

TEST_CASE("sandbox: the files that the command names are there, by their relative paths too")
{
    const Folder folder;
    folder.file("other.txt", "not named\n");
    folder.file("named.txt", "named\n");
    folder.file("challenge.sh", "#!/bin/sh\npwd\ncat $1\ncat other.txt 2>&1\necho x 2>&1 >>$1\n", true);
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        auto words = daemon_test::instancerd(sandbox({"--runtime", runtime}, {"./challenge.sh", "named.txt"}));
        words.insert(words.begin(), {"env", "-C", folder.path()});
        const Daemon daemon(words, {}, -1);
        const auto said = talk(daemon, "");
        CHECK(said.starts_with(folder.path() + "\nnamed\n"));
        check_has(said, "other.txt: No such file");
        CHECK(said.find("not named") == said.npos);
    }
}

TEST_CASE("sandbox: programs and files that are links into the host's programs are there")
{
    const Folder folder;
    const auto program = folder.path("shell"), data = folder.path("data");
    std::filesystem::create_symlink("/usr/bin/sh", program);
    std::filesystem::create_symlink("/usr/lib/os-release", data);
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Daemon daemon(sandbox({"--runtime", runtime}, {program, "-c", "echo $0; head -c 6 $1", program, data}));
        CHECK(talk(daemon, "") == program + "\nPRETTY");
    }
}

TEST_CASE("sandbox: a chain of links that leads out of the host's programs is followed")
{
    const Folder folder;
    // As alternatives are: from /usr to a link elsewhere, which leads on.
    const auto first = "/usr/local/bin/instancer-test-" + std::to_string(::getpid());
    const auto script = folder.file("script", "#!/bin/sh\necho at the end\n", true);
    std::filesystem::create_symlink(script, folder.path("second"));
    std::filesystem::create_symlink(folder.path("second"), first);
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Daemon daemon(sandbox({"--runtime", runtime}, {first}));
        CHECK(talk(daemon, "") == "at the end\n");
    }
    std::filesystem::remove(first);
}

TEST_CASE("sandbox: of a range of users each instance has one for itself, and owns what is its")
{
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Daemon daemon(
            sandbox({"--runtime", runtime, "--user", "70200-70201"},
                    {"sh", "-c", "id -u; id -g; touch /tmp/x && stat -c %u /tmp; echo err >/dev/stderr; cat"}));
        RawClient first(daemon.port()), second(daemon.port());
        const auto lines = [](RawClient& client) {
            const auto user = client.receive_line();
            CHECK(client.receive_line() == user);
            CHECK(client.receive_line() == user);
            return user;
        };
        const auto one = lines(first), other = lines(second);
        CHECK(std::set{one, other} == std::set<std::string>{"70200", "70201"});
        // The user that was free for longest comes next; none is free before an instance is gone.
        first.half_close();
        CHECK(first.receive_all().empty());
        RawClient third(daemon.port());
        CHECK(lines(third) == one);
    }
}

TEST_CASE("sandbox: a working directory and mounts are there when they are named, and nobody can change them")
{
    const Folder folder, data;
    folder.file("other.txt", "in the directory\n");
    data.file("note", "mounted\n");
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const auto said = inside(runtime, "pwd; cat other.txt; touch new; cat /data/note; touch /data/new",
                                 {"--workdir", folder.path(), "--mount", data.path() + ":/data"});
        CHECK(said.starts_with(folder.path() + "\nin the directory\n"));
        check_has(said, "mounted\n");
        check_has(said, "'new': Read-only file system");
        check_has(said, "'/data/new': Read-only file system");
    }
}

TEST_CASE("sandbox: Python with threads works")
{
    const Folder folder;
    const auto script =
        folder.file("challenge.py", "import threading, time, json, sys\n"
                                    "out = []\n"
                                    "all = [threading.Thread(target=out.append, args=(i,)) for i in range(8)]\n"
                                    "[t.start() for t in all]\n"
                                    "[t.join() for t in all]\n"
                                    "print(sum(out), input(), flush=True)\n");
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Daemon daemon(sandbox({"--runtime", runtime}, {"python3", script}));
        CHECK(talk(daemon, "hello\n") == "28 hello\n");
    }
}

TEST_CASE("sandbox: a terminal, and a port that clients share")
{
    const Folder folder;
    const auto script = folder.file("server.py", "import os, socket, sys\n"
                                                 "assert sys.argv[1] == os.environ['PORT']\n"
                                                 "s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                                                 "for i in range(2):\n"
                                                 "    c, _ = s.accept()\n"
                                                 "    c.sendall(b'%d\\n' % i)\n"
                                                 "    c.close()\n");
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Daemon terminal(
            sandbox({"--runtime", runtime, "--pty"}, {"sh", "-c", "tty; stty size; read line; echo \"<$line>\""}));
        RawClient client(terminal.port());
        CHECK(client.receive_line() == "/dev/pts/0");
        client.receive_line();
        client.send("typed\n");
        CHECK(client.receive_line() == "<typed>");

        const Daemon shared(
            sandbox({"--runtime", runtime, "--io", "port", "--auth", "source"}, {"python3", script, "{port}"}));
        RawClient first(shared.port());
        CHECK(first.receive_all() == "0\n");
        RawClient second(shared.port());
        CHECK(second.receive_all() == "1\n");
    }
}
