// SPDX-License-Identifier: MIT
// Signals, and that nothing outlives the daemon.
#include <filesystem>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using service_test::runs;

namespace {

/// Says its pid, and the pid of a child that tries to get away, then echoes.
const Words with_runaway = {"/bin/sh", "-c",
                            "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $$; echo $!; exec cat"};

/// A client whose instance runs.
class Session {
public:
    explicit Session(Daemon& daemon) : client(daemon.port())
    {
        instance = std::stoi(client.receive_line());
        runaway = std::stoi(client.receive_line());
    }

    bool echoes()
    {
        client.send("ping");
        return client.receive(4) == "ping";
    }

    /// Neither process of the instance is left, now or soon.
    bool gone() const
    {
        return eventually([&] { return !runs(instance) && !runs(runaway); });
    }

    RawClient client;
    pid_t instance, runaway;
};

}  // namespace

TEST_CASE("SIGTERM and SIGINT let sessions finish and take no new ones")
{
    for (const int signal : {SIGTERM, SIGINT}) {
        Daemon daemon(exec({}, with_runaway));
        Session session(daemon);
        daemon.signal(signal);
        REQUIRE(daemon.wait_for_line("finishing the sessions") != "");
        CHECK(session.echoes());
        CHECK(eventually([&] { return !RawClient(daemon.port()).connected(); }));
        CHECK_FALSE(daemon.wait(0ms));
        session.client.half_close();
        CHECK(session.client.receive_all() == "");
        CHECK(session.client.ended_in_order());
        CHECK(daemon.wait() == 0);
        CHECK(session.gone());
        CHECK(daemon.count("session ended: completed") == 1);
    }
}

TEST_CASE("a second signal stops now")
{
    Daemon daemon(exec({"--drain-timeout", "0"}, with_runaway));
    Session session(daemon);
    daemon.signal(SIGTERM);
    REQUIRE(daemon.wait_for_line("finishing the sessions") != "");
    CHECK(session.echoes());
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(session.client.receive_all() == "");
    CHECK(session.client.ended_by_reset());
    CHECK(session.gone());
    CHECK(daemon.wait_for_line("instance ended: stopped") != "");
}

TEST_CASE("a log that nobody reads holds up neither clients nor signals")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    instancer::UniqueFd reading(ends[0]), writing(ends[1]);
    REQUIRE(::fcntl(writing.get(), F_SETPIPE_SZ, 4096) == 4096);
    Words command = {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&3 3>&-", test_paths::instancerd};
    const auto words = exec({"--listen", "unix:" + path}, {"/bin/sh", "-c", "seq 900 >&2; cat"});
    command.insert(command.end(), words.begin(), words.end());
    Child daemon(command, {}, writing.get());
    writing.reset();
    REQUIRE(eventually([&] { return RawClient(path).connected(); }));

    for (int i = 0; i < 12; ++i) {
        RawClient client(path);
        client.send("hello");
        client.half_close();
        CHECK(client.receive_all() == "hello");
    }
    SUBCASE("it is read later: what fell out in the meantime is counted")
    {
        std::string text;
        char buffer[4096];
        bool asked = false;
        for (ssize_t count; (count = ::read(reading.get(), buffer, sizeof buffer)) > 0;) {
            text.append(buffer, static_cast<std::size_t>(count));
            if (!std::exchange(asked, true))
                daemon.signal(SIGTERM);
        }
        CHECK(text.find(" log lines were lost: nobody read them in time\n") != std::string::npos);
        CHECK(text.find("info ended\n") != std::string::npos);
    }
    SUBCASE("it is never read") { daemon.signal(SIGTERM); }
    CHECK(daemon.wait() == 0);
}

TEST_CASE("draining ends after its time")
{
    Daemon daemon(exec({"--drain-timeout", "300ms"}, with_runaway));
    Session session(daemon);
    CHECK(daemon.terminate() == 0);
    CHECK(session.client.receive_all() == "");
    CHECK(session.client.ended_by_reset());
    CHECK(session.gone());
}

TEST_CASE("a daemon without sessions ends at once, with lingering instances too")
{
    const auto program = "import os, socket\n"
                         "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
                         "while True: s.accept()[0].sendall(b'%d\\n' % os.getpid())";
    Daemon daemon(exec({"--auth", "source", "--io", "port", "--warm", "1"}, {"python3", "-c", program}));
    pid_t pid = 0;
    {
        RawClient client(daemon.port());
        pid = std::stoi(client.receive_line());
    }
    CHECK(runs(pid));
    CHECK(daemon.terminate() == 0);
    CHECK(eventually([&] { return !runs(pid); }));
}

TEST_CASE("an instance that ignores TERM is killed after its grace time")
{
    Daemon daemon(exec({"--stop-grace", "200ms", "--drain-timeout", "100ms"},
                       {"/bin/sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"}));
    RawClient client(daemon.port());
    const pid_t pid = std::stoi(client.receive_line());
    CHECK(daemon.terminate() == 0);
    CHECK(eventually([&] { return !runs(pid); }));
}

TEST_CASE("nothing outlives a daemon that is killed")
{
    Daemon daemon(exec({}, with_runaway));
    Session session(daemon);
    daemon.signal(SIGKILL);
    CHECK(daemon.wait() == 128 + SIGKILL);
    CHECK(session.gone());
}

TEST_CASE("SIGHUP reads the tokens again, and keeps them when the file is broken")
{
    const std::string old_token(128, 'o'), new_token(128, 'n');
    const TemporaryDirectory directory;
    const auto file = directory.file("tokens.txt", old_token + "\n");
    Daemon daemon(exec({"--auth", "token", "--tokens", file}, {"/bin/cat"}));
    const auto admitted = [&](const std::string& token) {
        RawClient client(daemon.port());
        client.send(token + std::string(2, '\1') + "ping");
        return client.receive(4) == "ping";
    };
    CHECK(admitted(old_token));
    CHECK_FALSE(admitted(new_token));

    RawClient stays(daemon.port());
    stays.send(old_token + std::string(2, '\2') + "1");
    CHECK(stays.receive(1) == "1");

    directory.file("tokens.txt", "# changed\n" + new_token + "\n");
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("read 1 token from " + file) != "");
    CHECK(admitted(new_token));
    CHECK_FALSE(admitted(old_token));
    stays.send("2");
    CHECK(stays.receive(1) == "2");

    directory.file("tokens.txt", new_token + "\ntoo-short\n");
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("warning exec: " + file + ":2: has 9 characters") != "");
    CHECK(admitted(new_token));
    CHECK(daemon.log().find("too-short") == std::string::npos);
}

TEST_CASE("SIGHUP reads the files of services, and says what has changed in the configuration")
{
    const TemporaryDirectory directory;
    const auto rules = directory.file("rules", "deny 192.0.2.1\n");
    const auto configuration = [&](const std::string& ttl) {
        return directory.file("c.json", R"({"services": {"web": {"mode": "exec", "listen": "127.0.0.1:0", "ttl": ")" +
                                            ttl + R"(", "access-file": ")" + rules +
                                            R"(", "command": ["/bin/cat"]}}})");
    };
    const auto file = configuration("1m");
    Daemon daemon({"run", "--config", file});
    // A file that is written again, and is as it was, has not changed.
    configuration("1m");
    daemon.signal(SIGHUP);
    REQUIRE(daemon.wait_for_line("1 access rule, with those of " + rules) != "");
    REQUIRE(daemon.wait_for_line(file + " is as it was") != "");
    configuration("2m");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("web: has other options: ttl") != "");
    directory.file("c.json", "{");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("warning " + file + ":1: ") != "");
    CHECK(daemon.wait_for_line("1 access rule, with those of " + rules, 3) != "");
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("tokens from a pipe are read once, and stay on SIGHUP")
{
    const std::string token(128, 'o');
    const TemporaryDirectory directory;
    const auto file = directory.file("tokens.txt", token + "\n");
    Daemon daemon({"/bin/bash", "-c",
                   "exec \"$0\" exec --listen 127.0.0.1:0 --auth token --tokens <(cat " + file + ") -- /bin/cat",
                   test_paths::instancerd},
                  {}, -1);
    const auto admitted = [&] {
        RawClient client(daemon.port());
        client.send(token + std::string(2, '\1') + "ping");
        return client.receive(4) == "ping";
    };
    CHECK(admitted());
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("gives what it holds once, and is not read again") != "");
    CHECK(daemon.wait_for_line("read 1 token from /dev/fd/") != "");
    CHECK(admitted());
}

TEST_CASE("a file that has become a pipe holds up no client and no signal, and what it says in the end holds")
{
    const std::string old_token(128, 'o'), new_token(128, 'n');
    const TemporaryDirectory directory;
    const auto file = directory.file("tokens.txt", old_token + "\n"), pipe = directory.path("pipe");
    const auto rules = directory.file("rules", "deny 192.0.2.1\n");
    Daemon daemon(exec({"--auth", "token", "--tokens", file, "--access-file", rules}, {"/bin/cat"}));
    const auto admitted = [&](const std::string& token) {
        RawClient client(daemon.port());
        client.send(token + std::string(2, '\1') + "ping");
        return client.receive(4) == "ping";
    };
    RawClient staying(daemon.port());
    staying.send(old_token + std::string(2, '\2') + "ping");
    REQUIRE(staying.receive(4) == "ping");
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    std::filesystem::rename(pipe, file);
    daemon.signal(SIGHUP);
    // By then the pipe is being read: the end that is opened here has a reader.
    instancer::UniqueFd writer;
    REQUIRE(eventually([&] {
        writer.reset(::open(file.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
        return static_cast<bool>(writer);
    }));
    CHECK(admitted(old_token));
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("instance is ") != "");
    const auto told = daemon.count("instance is ");
    // What is asked for meanwhile is done afterwards.
    directory.file("rules", "deny 192.0.2.1\ndeny 192.0.2.2\n");
    daemon.signal(SIGHUP);
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("instance is ", told + 1) != "");
    REQUIRE(::write(writer.get(), (new_token + "\n").data(), new_token.size() + 1) == 129);
    writer.reset();
    CHECK(daemon.wait_for_line("read 1 token from " + file, 2) != "");
    CHECK(daemon.wait_for_line("2 access rules") != "");
    CHECK(admitted(new_token));
    CHECK_FALSE(admitted(old_token));
}

TEST_CASE("SIGUSR1 logs one line per instance and one per session")
{
    Daemon daemon(exec({}, with_runaway));
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("exec: no instances") != "");
    Session first(daemon), second(daemon);
    CHECK(first.echoes());
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("instance is running", 2) != "");
    const auto line = daemon.wait_for_line("exec/pid " + std::to_string(first.instance) + ": instance is running");
    INFO(line);
    const auto owner = line.find(" owner=") + 7;
    CHECK(line.find_first_not_of("0123456789abcdef", owner) == owner + 32);
    CHECK(line.find(" age=", owner) == owner + 32);
    CHECK(line.find(" clients=1 bytes_up=4 bytes_down=") != std::string::npos);
    CHECK(daemon.count("instance is running") == 2);
    CHECK(daemon.wait_for_line("session is open", 2) != "");
    const auto session = daemon.wait_for_line("exec/pid " + std::to_string(first.instance) + ": session is open");
    CHECK(session.find(" client=127.0.0.1:") != std::string::npos);
    CHECK(session.find(line.substr(owner - 7, 39)) != std::string::npos);
    CHECK(session.find(" bytes_up=4 bytes_down=") != std::string::npos);
}
