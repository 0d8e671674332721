// SPDX-License-Identifier: MIT
// Processes as instances, from the command line.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include <instancer/backend/unbound_limits.hpp>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

/// The reference's sample server: reverses every chunk that it reads, on the port that is its argument.
constexpr auto reverser = R"(
import socket, sys, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', int(sys.argv[1])))
listener.listen()
def serve(client):
    while data := client.recv(4096):
        client.sendall(data[::-1])
    client.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
)";

/// Says its pid, then echoes.
const Words pid_and_echo = {"/bin/sh", "-c", "echo $$; exec cat"};

const std::string alice(128, 'a'), bob(128, 'b'), mallory(128, 'm');

/// The 130 bytes that a client of the reference sends first.
std::string greeting(const std::string& token, char identifier) { return token + std::string(1, '\0') + identifier; }

}  // namespace

TEST_CASE("exec: every connection is a process of its own")
{
    Daemon daemon(exec({}, pid_and_echo));
    RawClient first(daemon.port()), second(daemon.port());
    const auto one = first.receive_line(), two = second.receive_line();
    CHECK(one != two);
    first.send("hello\n");
    CHECK(first.receive_line() == "hello");
    first.half_close();
    CHECK(first.receive_all() == "");
    CHECK(first.ended_in_order());
    CHECK(daemon.wait_for_line("exec/pid " + one + ": instance started") != "");
    CHECK(daemon.wait_for_line("exec/pid " + one + ": instance ended: ") != "");
    CHECK(daemon.wait_for_line("exec/pid " + one + ": session ended: completed") != "");
    second.send("still here\n");
    CHECK(second.receive_line() == "still here");
}

TEST_CASE("exec: a program that is missing, a directory that is missing: exit code 2 before anything is served")
{
    Child child(instancerd(exec({"--workdir", "/no/such"}, {"/no/such/program"})));
    CHECK(child.wait() == 2);
    CHECK(child.whole_log() ==
          "instancerd: /no/such/program: No such file or directory; correct the path\n"
          "instancerd: --workdir: there is no directory /no/such; create it or correct the path\n");
}

TEST_CASE("exec: environment, working directory and arguments are what was asked for")
{
    const TemporaryDirectory directory;
    const auto program = "pwd; echo \"$GREETING|$HOME|$INSTANCER_SERVICE|$INSTANCER_CLIENT_ADDRESS|$1\"";
    Daemon daemon(exec({"--env", "GREETING=hi there", "--env", "EMPTY=", "--workdir", directory.path()},
                       {"/bin/sh", "-c", program, "x", "--listen"}));
    RawClient client(daemon.port());
    CHECK(client.receive_line() == std::filesystem::canonical(directory.path()).string());
    CHECK(client.receive_line() == "hi there||exec|127.0.0.1|--listen");

    Daemon silent(exec({"--client-env", "off"}, {"/bin/sh", "-c", "echo \"<$INSTANCER_CLIENT_ADDRESS>\""}));
    RawClient other(silent.port());
    CHECK(other.receive_line() == "<>");
}

TEST_CASE("exec: standard error goes into the log, to the client or nowhere")
{
    const Words noisy = {"/bin/sh", "-c", "printf 'oops \\033[31m\\n' >&2; echo done"};
    {
        Daemon daemon(exec({}, noisy));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "done\n");
        // Escaped, so that no instance can act upon the operator's terminal or forge a line.
        CHECK(daemon.wait_for_line(": | oops \\x1b[31m") != "");
    }
    {
        Daemon daemon(exec({"--stderr", "client"}, noisy));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "oops \033[31m\ndone\n");
    }
    {
        Daemon daemon(exec({"--stderr", "null"}, noisy));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "done\n");
        CHECK(daemon.wait_for_line("instance ended") != "");
        CHECK(daemon.count("oops") == 0);
    }
}

TEST_CASE("exec: a terminal on request")
{
    const std::vector<std::string> program = {"/bin/sh", "-c", "test -t 0 && test -t 1 && echo prompt >&2; echo done"};
    {
        Daemon daemon(exec({"--pty"}, program));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "prompt\ndone\n");
        CHECK(daemon.wait_for_line("instance ended") != "");
        CHECK(daemon.count("| prompt") == 0);
    }
    {
        Daemon daemon(exec({"--pty", "--stderr", "log"}, program));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "done\n");
        CHECK(daemon.wait_for_line("| prompt") != "");
    }
}

TEST_CASE("exec: a terminal that echoes looks right to a client whose own is raw")
{
    Daemon daemon(exec({"--pty", "echo"}, {"/bin/sh", "-c", "read x; echo got $x"}));
    RawClient client(daemon.port());
    client.send("hi\r");
    CHECK(client.receive_all() == "hi\r\ngot hi\r\n");
}

TEST_CASE("exec: a raw terminal passes on what it gets, and its program reads no end that nobody sent")
{
    const std::string bytes("\r\n\3\4\x7f\0AB", 8);
    const auto check = [&](const Words& options, const Words& program) {
        auto all = options;
        all.insert(all.end(), {"--half-close-timeout", "400ms"});
        Daemon daemon(exec(all, program));
        RawClient client(daemon.port());
        CHECK(client.receive_line() == "ready");
        client.send(bytes);
        client.half_close();
        CHECK(client.receive_all() == bytes);
        CHECK(daemon.wait_for_line("session ended: half-close timeout") != "");
    };
    SUBCASE("from the beginning") { check({"--pty", "raw"}, {"/bin/sh", "-c", "echo ready; exec cat"}); }
    SUBCASE("made so by its program") { check({"--pty"}, {"/bin/sh", "-c", "stty raw; echo ready; exec cat"}); }
    SUBCASE("what comes at once is not lost")
    {
        Daemon daemon(exec({"--pty=raw"}, {"/bin/sh", "-c", "head -c 8"}));
        RawClient client(daemon.port());
        client.send(bytes);
        client.half_close();
        CHECK(client.receive_all() == bytes);
    }
}

TEST_CASE("exec: a user of telnet names a token, and types lines into a terminal")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens", "me\n");
    Daemon daemon(exec({"--auth", "prompt", "--tokens", tokens, "--pty"}, {"/bin/sh", "-c", "exec cat -A"}));
    RawClient client(daemon.port());
    CHECK(client.receive(7) == "token: ");
    client.send(std::string("\xff\xfd\x18 me\r\0", 8));
    CHECK(client.receive(3) == "\xff\xfc\x18");
    client.send("one\r\ntwo\r\n");
    client.half_close();
    CHECK(client.receive_all() == "one$\ntwo$\n");
}

TEST_CASE("exec: the client's own socket is handed over")
{
    Daemon daemon(exec({"--io", "socket"}, {"/bin/sh", "-c", "readlink /proc/self/fd/0; exec cat"}));
    RawClient client(daemon.port());
    CHECK(client.receive_line().find("socket:") == 0);
    client.send("x");
    client.half_close();
    CHECK(client.receive_all() == "x");
    CHECK(client.ended_in_order());
}

TEST_CASE("exec: a fresh copy of a template directory each")
{
    const TemporaryDirectory directory;
    directory.file("counter", "0\n");
    Daemon daemon(exec({"--dir-template", directory.path()},
                       {"/bin/sh", "-c", "cat counter; echo 1 > counter; cat counter; pwd; exec cat"}));
    std::string place;
    for (int i = 0; i < 2; ++i) {
        RawClient client(daemon.port());
        CHECK(client.receive_line() == "0");
        CHECK(client.receive_line() == "1");
        const auto mine = client.receive_line();
        CHECK(mine != place);
        place = mine;
        CHECK(std::filesystem::is_directory(place));
    }
    CHECK(eventually([&] { return !std::filesystem::exists(place); }));
    std::ifstream counter(directory.path("counter"));
    std::string text;
    CHECK(std::getline(counter, text));
    CHECK(text == "0");
}

TEST_CASE("exec: limits reach the process")
{
    Daemon daemon(exec({"--limit-memory", "512m", "--limit-nofile", "77"}, {"/bin/sh", "-c", "ulimit -n; ulimit -v"}));
    RawClient client(daemon.port());
    // A control group limits all processes of an instance together.
    const bool grouped = instancer::can_limit_groups(instancer::GroupLimit::memory);
    CHECK(client.receive_all() == (grouped ? "77\nunlimited\n" : "77\n524288\n"));
    if (!grouped)
        CHECK(daemon.wait_for_line("limit-memory is the address space of each process instead") != "");
    Daemon plain(exec({}, {"/bin/sh", "-c", "ulimit -n; ulimit -v"}));
    RawClient other(plain.port());
    CHECK(other.receive_all() == "1024\nunlimited\n");
}

TEST_CASE("exec: another user" * doctest::skip(::geteuid() != 0))
{
    Daemon daemon(exec({"--user", "65534:65533", "--limit-pids", "50"}, {"/bin/sh", "-c", "id -u; id -g; id -G"}));
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "65534\n65533\n65533\n");
}

TEST_CASE("exec: one instance per source address, found again until it lingered for too long")
{
    Daemon daemon(
        exec({"--auth", "source", "--io", "port", "--linger", "300ms"}, {"python3", "-c", reverser, "{port}"}));
    {
        RawClient client(daemon.port()), second(daemon.port());
        client.send("abc");
        CHECK(client.receive(3) == "cba");
        second.send("def");
        CHECK(second.receive(3) == "fed");
    }
    CHECK(daemon.wait_for_line("instance ended: unused") != "");
    CHECK(daemon.count("instance started") == 1);
    RawClient again(daemon.port());
    again.send("x");
    CHECK(again.receive(1) == "x");
    CHECK(daemon.count("instance started") == 2);
}

TEST_CASE("exec: the program is told its port by environment too, out of the range")
{
    constexpr auto by_environment = "import os, sys; sys.argv.append(os.environ['PORT']); exec(os.environ['PROGRAM'])";
    Daemon daemon(exec(
        {"--io", "port", "--ports", "28410-28411", "--max-per-owner", "0", "--env", std::string("PROGRAM=") + reverser},
        {"python3", "-c", by_environment}));
    RawClient first(daemon.port()), second(daemon.port());
    first.send("12");
    second.send("34");
    CHECK(first.receive(2) == "21");
    CHECK(second.receive(2) == "43");
    RawClient third(daemon.port());
    // The range caps the instances, and a full service refuses.
    CHECK(third.receive_all() == "");
    CHECK(third.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: refused") != "");
}

TEST_CASE("exec: lifetime, idle time and culling end instances, and say so")
{
    {
        Daemon daemon(exec({"--ttl", "200ms"}, {"/bin/cat"}));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        CHECK(daemon.wait_for_line("instance ended: expired") != "");
    }
    {
        Daemon daemon(exec({"--idle", "200ms"}, {"/bin/cat"}));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(daemon.wait_for_line("instance ended: idle") != "");
    }
    {
        Daemon daemon(exec({"--max-instances", "1", "--when-full", "cull-oldest"}, pid_and_echo));
        RawClient first(daemon.port());
        first.receive_line();
        RawClient second(daemon.port());
        CHECK(second.receive_line() != "");
        CHECK(first.receive_all() == "");
        CHECK(first.ended_by_reset());
        CHECK(daemon.wait_for_line("instance ended: culled") != "");
    }
    {
        Daemon daemon(exec({"--max-instances", "1", "--when-full", "queue", "--queue-timeout", "300ms"}, pid_and_echo));
        RawClient first(daemon.port());
        first.receive_line();
        RawClient second(daemon.port());
        CHECK(second.receive_all() == "");
        CHECK(second.ended_by_reset());
        CHECK(daemon.wait_for_line("session ended: queue timeout") != "");
        RawClient third(daemon.port());
        first.close();
        CHECK(third.receive_line() != "");
    }
}

TEST_CASE("exec: warm instances wait for their clients")
{
    Daemon daemon(exec({"--warm", "2"}, pid_and_echo));
    CHECK(daemon.wait_for_line("instance started, warm", 2) != "");
    RawClient client(daemon.port());
    const auto pid = client.receive_line();
    CHECK(daemon.wait_for_line("exec/pid " + pid + ": instance got its owner") != "");
    CHECK(daemon.wait_for_line("instance started, warm", 3) != "");
}

TEST_CASE("the reference's own command line, and clients of the reference")
{
    const TemporaryDirectory directory;
    directory.file("server.py", reverser);
    directory.file("tokens.txt", "# who may\n" + alice + "\n" + bob + "\n");
    Daemon daemon(exec({"--auth", "token", "--tokens", directory.path("tokens.txt"), "--io", "port", "--ports",
                        "28400-28409", "--ttl", "20s", "--when-full", "cull-oldest", "--workdir", directory.path()},
                       {"python3", "server.py", "{port}"}));

    SUBCASE("bytes that follow the greeting in the same segment reach the instance; nothing else is ever sent")
    {
        RawClient client(daemon.port());
        client.send(greeting(alice, 1) + "hello");
        CHECK(client.receive(5) == "olleh");
        client.half_close();
        CHECK(client.receive_all() == "");
        CHECK(client.ended_in_order());
    }
    SUBCASE("the greeting may come a byte at a time")
    {
        RawClient client(daemon.port());
        for (const char byte : greeting(alice, 1))
            client.send({&byte, 1});
        client.send("hello");
        CHECK(client.receive(5) == "olleh");
    }
    SUBCASE("an unknown token: dropped, without a byte")
    {
        RawClient client(daemon.port());
        client.send(greeting(mallory, 0));
        CHECK(client.receive_all() == "");
        CHECK(client.ended_in_order());
        CHECK(daemon.wait_for_line("session ended: rejected") != "");
        CHECK(daemon.count("instance started") == 0);
        CHECK(daemon.log().find("mmmm") == std::string::npos);
        CHECK(daemon.log().find("aaaa") == std::string::npos);
    }
    SUBCASE("one instance per token and identifier, met again; the reset identifier ends those of its token alone")
    {
        const auto talk = [&](const std::string& token, char identifier) {
            RawClient client(daemon.port());
            client.send(greeting(token, identifier) + "xy");
            CHECK(client.receive(2) == "yx");
        };
        talk(alice, 1);
        talk(alice, 1);
        CHECK(daemon.count("instance started") == 1);
        talk(alice, 2);
        talk(bob, 1);
        CHECK(daemon.count("instance started") == 3);
        RawClient other(daemon.port());
        other.send(greeting(alice, 2) + "1");
        CHECK(other.receive(1) == "1");
        talk(alice, 0);
        CHECK(daemon.wait_for_line("instance ended: reset by owner", 2) != "");
        CHECK(daemon.count("instance started") == 4);
        CHECK(other.receive_all() == "");
        CHECK(other.ended_by_reset());
        talk(bob, 1);
        CHECK(daemon.count("instance started") == 4);
    }
}

TEST_CASE("a client that does not finish its greeting in time is dropped without a byte")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", alice);
    Daemon daemon(exec({"--auth", "token", "--tokens", tokens, "--auth-timeout", "200ms"}, {"/bin/cat"}));
    RawClient client(daemon.port());
    client.send(alice);
    CHECK(client.receive_all() == "");
    CHECK(client.ended_in_order());
    CHECK(daemon.wait_for_line("session ended: authentication timeout") != "");
}

TEST_CASE("clients type their token, and find their instance again")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", "# teams\nblue whale\nred fox\n");
    Daemon daemon(exec({"--auth", "prompt", "--prompt", "team? ", "--tokens", tokens, "--io", "port", "--max-instances",
                        "1", "--when-full", "refuse"},
                       {"python3", "-c", reverser, "{port}"}));
    for (int visit = 0; visit < 2; ++visit) {
        RawClient client(daemon.port());
        CHECK(client.receive(6) == "team? ");
        client.send("blue whale\nxy");
        CHECK(client.receive(2) == "yx");
    }
    CHECK(daemon.count("instance started") == 1);

    RawClient stranger(daemon.port());
    stranger.send("blue\n");
    CHECK(stranger.receive_all() == "team? unknown token\n");
    CHECK(stranger.ended_in_order());
    CHECK(daemon.wait_for_line("session ended: rejected") != "");
    RawClient present(daemon.port());
    present.send("blue whale\nxy");
    CHECK(present.receive(8) == "team? yx");
    RawClient late(daemon.port());
    late.send("red fox\n");
    CHECK(late.receive_all() == "team? no instance is free\n");
    CHECK(late.ended_in_order());
    const auto line = daemon.wait_for_line("session ended: refused");
    CHECK(line.find("the service has as many as it may have (max-instances): 1 in all, 0 of them unused") !=
          std::string::npos);
    // Once nobody is connected to it, the other team's instance makes room.
    present.close();
    REQUIRE(daemon.wait_for_line("session ended: ", 5) != "");
    RawClient later(daemon.port());
    later.send("red fox\nxy");
    CHECK(later.receive(8) == "team? yx");
    CHECK(daemon.wait_for_line("instance ended: culled: it had no client") != "");

    directory.file("tokens.txt", "grey wolf\n");
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("read 1 token from " + tokens) != "");
    RawClient blue(daemon.port());
    blue.send("blue whale\n");
    CHECK(blue.receive_all() == "team? unknown token\n");
    const auto log = daemon.whole_log();
    for (const auto* secret : {"blue", "red fox", "grey"})
        CHECK(log.find(secret) == std::string::npos);
}

TEST_CASE("another reset identifier")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", alice);
    Daemon daemon(exec({"--auth", "token", "--tokens", tokens, "--reset-id", "0009", "--io", "port"},
                       {"python3", "-c", reverser, "{port}"}));
    const auto talk = [&](char identifier) {
        RawClient client(daemon.port());
        client.send(greeting(alice, identifier) + "xy");
        CHECK(client.receive(2) == "yx");
    };
    talk(0);
    talk(0);
    CHECK(daemon.count("instance started") == 1);
    talk(9);
    CHECK(daemon.wait_for_line("instance ended: reset by owner") != "");
}

TEST_CASE("log lines as JSON, one object each")
{
    const Words noisy = {"/bin/sh", "-c", "printf 'a\\033\"\\\\\\303' >&2; echo x"};
    Child child(instancerd(exec({"--log-format", "json"}, noisy)));
    const auto line = child.wait_for_line("listening on");
    const auto record = nlohmann::json::parse(line);
    CHECK(record.at("level") == "info");
    CHECK(record.at("service") == "exec");
    const auto message = record.at("message").get<std::string>();
    RawClient client(static_cast<std::uint16_t>(std::stoi(message.substr(message.rfind(':') + 1))));
    CHECK(client.receive_all() == "x\n");
    CHECK(child.wait_for_line("session ended") != "");
    child.signal(SIGTERM);
    CHECK(child.wait() == 0);
    std::istringstream log(child.whole_log());
    bool saw_output = false;
    for (std::string text; std::getline(log, text);) {
        const auto each = nlohmann::json::parse(text);
        CHECK(each.contains("time"));
        saw_output = saw_output || each.at("message") == "| a\\x1b\"\\\\xc3";
    }
    CHECK(saw_output);
}
