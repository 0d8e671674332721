// SPDX-License-Identifier: MIT
// Settings of one service that can be read and cannot work.
#include <filesystem>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/unbound_limits.hpp>

#include "config_problems.hpp"
#include "temporary_directory.hpp"

using namespace instancer::daemon;
using namespace config_test;

TEST_CASE("combinations of upstreams that cannot work name a remedy")
{
    const auto problems = [](const std::string& body) {
        return problems_of(service("\"mode\": \"forward\", \"listen\": \":1\",\n" + body));
    };
    CHECK(problems("\"to\": \"a:1\", \"max-per-upstream\": 1, \"queue-size\": 0").empty());
    CHECK(problems("\"to\": \"a:1\", \"when-down\": \"close-listener\"").empty());
    CHECK(problems("\"max-fails\": 1").at(0).find("add \"to\": \"host:port\"") != std::string::npos);
    only(problems("\"to\": \"a:1\", \"to-file\": \"x\""), "to-file", "two lists; remove one of them");
    only(problems("\"to-file\": \"/no/such/file\""), "to-file", "cannot read /no/such/file");
    only(problems("\"to-file\": \"/dev/null\""), "to-file", "/dev/null: holds no upstream; write one a line");
    only(problems("\"to\": \"a:1,a:1=2\""), "to", "is there twice");
    only(problems("\"to\": \"a:1=10001\""), "to", "from 0 to 10000");
    for (const std::string option : {"check-timeout", "check-send", "check-expect"})
        only(problems("\"to\": \"a:1\", \"" + option + "\": \"1s\""), option, "needs \"check-interval\": \"5s\"");
    for (const std::string option : {"check-fall", "check-rise"})
        only(problems("\"to\": \"a:1\", \"" + option + "\": 1"), option, "needs \"check-interval\": \"5s\"");
    only(problems("\"to\": \"a:1\", \"check-interval\": \"1s\", \"check-timeout\": 0"), "check-timeout",
         "must be longer than 0; write 2s");
    only(problems("\"to\": \"a:1\", \"check-interval\": \"1s\", \"check-send\": \"\\\\q\""), "check-send",
         "a backslash that means nothing");
    only(problems("\"to\": \"a:1\", \"queue-size\": 1"), "queue-size", "needs \"max-per-upstream\"");
    only(problems("\"to\": \"a:1\", \"queue-timeout\": \"1s\""), "queue-timeout", "needs \"max-per-upstream\"");
    only(problems("\"to\": \"a:1\", \"max-fails\": 0, \"when-down\": \"close-listener\""), "when-down",
         "no server is ever down");
    only(exec_problems("\"max-per-upstream\": 1"), "max-per-upstream", "works only in \"mode\": \"forward\"");
}

TEST_CASE("combinations that cannot work name a remedy")
{
    const std::string tokens = "\"auth\": \"token\", \"tokens\": \"/dev/null\"";

    only(exec_problems("\"tokens\": \"t\""), "tokens", "needs \"auth\": \"token\"");
    only(exec_problems("\"on-removed\": \"end\""), "on-removed", "needs \"auth\": \"token\"");
    only(exec_problems("\"reset-id\": \"ffff\""), "reset-id", "needs \"auth\": \"token\"");
    only(exec_problems("\"auth\": \"token\""), "auth", "add \"tokens\"");
    only(exec_problems("\"auth\": \"prompt\""), "auth", "add \"tokens\"");
    only(exec_problems("\"prompt\": \"who? \""), "prompt", "add \"auth\": \"prompt\" or \"auth\": \"signed\"");
    only(exec_problems("\"source-prefix\": 48"), "source-prefix", "needs \"auth\": \"source\" or \"max-per-source\"");
    only(exec_problems("\"time-zone\": \"UTC\""), "time-zone",
         "needs rules; add \"allow\", \"deny\" or \"access-file\"");
    only(exec_problems("\"denied\": \"hold\""), "denied", "needs rules");
    only(exec_problems("\"access-file\": \"/no/such\""), "access-file", "cannot read /no/such");
    only(exec_problems("\"max-connections\": 2, \"max-per-source\": 3"), "max-per-source",
         "is more than \"max-connections\", 2");
    only(problems_of(service("\"mode\": \"forward\", \"listen\": \":1\", \"to\": \"a:1\",\n\"auth-timeout\": \"1s\"")),
         "auth-timeout", "needs \"accept-proxy\"");
    only(exec_problems("\"auth-timeout\": \"1s\""), "auth-timeout",
         "needs \"auth\": \"token\", \"auth\": \"prompt\" or \"accept-proxy\"; add one of them or remove this");
    CHECK(exec_problems("\"accept-proxy\": \"10.0.0.1\", \"auth-timeout\": \"1s\"").empty());
    only(problems_of(service("\"mode\": \"forward\", \"listen\": \":1\", \"to\": \"a:1\",\n\"source-prefix\": 48")),
         "source-prefix", "needs \"max-per-source\"");
    only(exec_problems("\"max-per-owner\": 2"), "max-per-owner", "clients that can be told apart");
    only(exec_problems("\"queue-size\": 2"), "queue-size", "needs \"when-full\": \"queue\"");
    only(exec_problems("\"queue-timeout\": \"2s\""), "queue-timeout", "needs \"when-full\": \"queue\"");
    // No limit is a limit too; only where 0 switches something off it needs nothing.
    only(exec_problems("\"queue-timeout\": 0"), "queue-timeout", "needs \"when-full\": \"queue\"");
    // Clients wait for their turn to start as well.
    CHECK(exec_problems("\"max-starting\": 2, \"queue-timeout\": \"2s\"").empty());
    CHECK(exec_problems("\"max-per-owner\": 0, \"pty\": false").empty());
    only(exec_problems("\"warm\": 65"), "warm", "is more than \"max-instances\", 64");
    only(exec_problems("\"warm\": 1, \"client-env\": \"on\""), "client-env",
         "a warm instance starts before it has a client");
    only(exec_problems("\"linger\": \"1s\""), "linger", "use \"io\": \"port\"");
    only(exec_problems("\"max-sessions\": 2"), "max-sessions", "serves one connection");
    only(exec_problems("\"ports\": \"1000-2000\""), "ports", "needs \"io\": \"port\"");
    only(exec_problems("\"io\": \"port\", \"ports\": \"8000-8001\", \"max-instances\": 3"), "max-instances",
         "is more than the 2 ports");
    only(exec_problems("\"io\": \"port\", \"ports\": \"8000-8001\", \"warm\": 3"), "warm", "is more than the 2 ports");
    only(exec_problems("\"io\": \"port\", \"ports\": \"1-2\""), "ports",
         "holds 1, on which the service itself listens");
    only(problems_of(service("\"mode\": \"exec\", \"listen\": \":1\",\n\"command\": [\"/bin/cat\", \"{port}\"]")),
         "command", "{port} needs \"io\": \"port\"");
    only(exec_problems("\"io\": \"port\", \"pty\": true"), "pty", "needs \"io\": \"stdio\"");
    only(exec_problems("\"io\": \"socket\", \"pty\": true"), "pty", "needs \"io\": \"stdio\"");
    only(exec_problems("\"io\": \"port\", \"stderr\": \"client\""), "stderr", "use log or null");
    only(exec_problems("\"io\": \"socket\", \"warm\": 1"), "warm", "cannot work together with \"io\": \"socket\"");
    only(exec_problems("\"io\": \"socket\", \"idle\": \"1m\""), "idle", "no byte passes through us");
    only(exec_problems("\"limits\": {\"tmp\": \"1m\"}"), "limits.tmp", "use \"sandbox\": true");
    only(exec_problems("\"user\": \"no-such-user-here\""), "user", "useradd");
    only(exec_problems("\"user\": \"0:no-such-group-here\""), "user", "groupadd");
    only(exec_problems("\"user\": \"4242424\""), "user", "write 4242424:GROUP");
    only(exec_problems("\"workdir\": \"/no/such\""), "workdir", "there is no directory /no/such");
    only(exec_problems("\"dir-template\": \"/no/such\""), "dir-template", "there is no directory /no/such");
    only(exec_problems("\"dir-template\": \"/usr/share/doc\", \"workdir\": \"/\""), "dir-template", "is never used");
    only(exec_problems("\"allow\": []"), "allow", "holds no rule, so that everybody may connect; write one");
    only(exec_problems("\"auth\": \"signed\", \"auth-key\": []"), "auth", "add \"auth-key\": \"FILE\"");
    const daemon_test::TemporaryDirectory directory;
    REQUIRE(::mkfifo(directory.path("fifo").c_str(), 0600) == 0);
    only(exec_problems("\"dir-template\": \"" + directory.path() + "\", \"workdir\": \"{dir}\""), "dir-template",
         "holds " + directory.path("fifo") + ", a FIFO, socket or device, which cannot be copied; remove it");
    only(exec_problems("\"unix-mode\": \"0600\""), "unix-mode", "is for the files of Unix sockets only");
    only(exec_problems("\"env\": {\"INSTANCER_OWNER\": \"me\"}"), "env", "is a name of ours");
    only(exec_problems("\"io\": \"port\", \"env\": {\"PORT\": \"1\"}"), "env", "PORT is set for each instance");
    only(exec_problems(tokens), "tokens", "/dev/null: holds no token");
    only(exec_problems("\"auth\": \"token\", \"tokens\": \"/no/such\""), "tokens", "cannot read /no/such");

    only(docker_problems("\"port\": 1, \"stdio\": true"), "port", "cannot work together with \"stdio\"");
    only(docker_problems("\"pty\": true"), "pty", "needs \"stdio\"");
    only(docker_problems("\"stderr\": \"client\""), "stderr", "needs \"stdio\"");
    only(docker_problems("\"mounts\": [\"/no/such:/x\"]"), "mounts", "there is no /no/such");
    only(docker_problems("\"mounts\": [\"/:/host\"]"), "mounts", "would give containers the Docker engine");
    only(docker_problems("\"tmpfs\": [\"/tmp/:1m\"]"), "tmpfs", "\"limits\": {\"tmp\": \"64m\"}");
    only(docker_problems("\"stdio\": true, \"linger\": \"1m\""), "linger", "use \"port\"");
}

TEST_CASE("what is missing altogether is asked for where the service begins")
{
    const auto problems = problems_of(service("\"mode\": \"exec\""));
    REQUIRE(problems.size() == 2);
    CHECK(problems[0].find("c.json:1: $.services.s: has no address to listen on; add \"listen\": \":1337\"") == 0);
    CHECK(problems[1].find("c.json:1: $.services.s: has no command to run; add \"command\"") == 0);
}

TEST_CASE("a value that cannot be read hides no other mistake, and leads to no further one")
{
    const auto problems = problems_of(service(R"("mode": "exec", "command": ["/bin/cat"],
"auth": "tokne", "tokens": "/dev/null", "reset-id": "00ff",
"workdir": "/no/such", "when-full": "refuse", "queue-size": 3,
"io": "prot", "ports": "1-2", "linger": "1m")"));
    REQUIRE(problems.size() == 5);
    CHECK(problems[0].find("c.json:1: $.services.s: has no address to listen on") == 0);
    CHECK(problems[1].find("c.json:3: $.services.s.auth: 'tokne' is none of") == 0);
    CHECK(problems[2].find("c.json:4: $.services.s.queue-size: needs \"when-full\": \"queue\"") == 0);
    CHECK(problems[3].find("c.json:4: $.services.s.workdir: there is no directory /no/such") == 0);
    CHECK(problems[4].find("c.json:5: $.services.s.io: 'prot' is none of") == 0);
}

TEST_CASE("a script that an interpreter is to run must exist")
{
    const daemon_test::TemporaryDirectory directory;
    directory.file("chal.py", "");
    const auto problems_with = [&](const std::string& words) {
        std::string all;
        for (const auto& problem : problems_of(service("\"mode\": \"exec\", \"listen\": \":1\", \"workdir\": \"" +
                                                       directory.path() + "\", \"command\": [" + words + "]")))
            all += problem + "\n";
        return all;
    };
    const auto text = "there is no script " + directory.path("chall.py") + " for ";
    for (const auto* words : {R"("perl", "chall.py")", R"("/usr/bin/perl", "-w", "chall.py")", R"("sh", "./chall.py")"})
        CHECK(problems_with(words).find(text) != std::string::npos);
    for (const auto* words : {R"("perl", "chal.py")", R"("sh", "-c", "chall.py")", R"("perl", "-I", "x.d", "chall.py")",
                              R"("cat", "chall.py")", R"("perl", "{dir}/chall.py")", R"("sh")"})
        CHECK(problems_with(words) == "");
}

TEST_CASE("root is not bound by a limit on processes without a control group")
{
    if (instancer::can_limit_groups(instancer::GroupLimit::pids))
        return;
    const auto problems = exec_problems("\"limits\": {\"pids\": 10}, \"user\": \"0:0\"");
    REQUIRE_FALSE(problems.empty());
    CHECK(problems.back().find("limits.pids: does not bind root; add \"user\": \"NAME\"") != std::string::npos);
}

TEST_CASE("relative paths are relative to the file, the program too")
{
    const daemon_test::TemporaryDirectory directory;
    directory.file("serve", "#!/bin/sh\n", true);
    directory.file("plain", "#!/bin/sh\n");
    directory.file("lost", "#! /no/such/shell -e\n", true);
    directory.file("windows", "#!/bin/sh\r\nexit\r\n", true);
    directory.file("windows-env", "#!/usr/bin/env python3\r\nexit()\r\n", true);
    directory.file("no-program", "#!/etc/passwd\n", true);
    const auto check = [&](const std::string& program) {
        Problems problems;
        const auto settings = read_config(directory.path("c.json"),
                                          service("\"mode\": \"exec\", \"listen\": \":1\", "
                                                  "\"command\": [\"" +
                                                  program + "\"]"),
                                          problems);
        REQUIRE(problems.empty());
        return validate(settings);
    };
    CHECK(check("./serve").empty());
    CHECK(check("cat").empty());
    CHECK(check("{dir}/serve").empty());
    CHECK(check("./plain").at(0).text().find("chmod +x") != std::string::npos);
    CHECK(check("serve").at(0).text().find("did you mean ./serve?") != std::string::npos);
    CHECK(check("no-such-program").at(0).text().find("install it, write its path") != std::string::npos);
    CHECK(check(".").at(0).text().find("there is no program '.'") != std::string::npos);
    CHECK(check("./lost").at(0).text().find("interpreter /no/such/shell, which is no program") != std::string::npos);
    CHECK(check("./windows").at(0).text().find("its lines end in CR LF") != std::string::npos);
    CHECK(check("./windows-env").at(0).text().find("its lines end in CR LF") != std::string::npos);
    CHECK(check("./no-program").at(0).text().find("interpreter /etc/passwd, which is no program") != std::string::npos);
    CHECK(check("./").at(0).text().find("is a directory; correct the path") != std::string::npos);
}

TEST_CASE("a text that names no interpreter is no program, unless the kernel may know its format")
{
    using instancer::detail::trouble_of;
    const daemon_test::TemporaryDirectory directory;
    const auto text = directory.file("text", "echo hello\n", true);
    const auto none = directory.path("none"), some = directory.path("some");
    for (const auto& formats : {none, some})
        std::filesystem::create_directory(formats);
    CHECK(trouble_of(text, none) == "");  // Not mounted.
    for (const auto* file : {"none/register", "none/status", "some/register", "some/status", "some/jar"})
        directory.file(file, "");
    CHECK(trouble_of(text, none).find("let it begin with #!/bin/sh") != std::string::npos);
    CHECK(trouble_of(text, some) == "");
    CHECK(trouble_of(text, directory.path("missing")) == "");
    CHECK(trouble_of("/bin/cat", none) == "");

    const auto format = [&](const std::string& entry) { directory.file("some/jar", entry); };
    for (const auto* other : {"enabled\ninterpreter /j\nflags: \noffset 0\nmagic cafebabe\n",
                              "enabled\ninterpreter /j\nflags: \nextension .jar\n",
                              "disabled\ninterpreter /j\nflags: \noffset 0\nmagic 6563686f\n",
                              "enabled\ninterpreter /j\nflags: \noffset 200\nmagic 6563686f\n"}) {
        CAPTURE(other);
        format(other);
        CHECK(trouble_of(text, some).find("let it begin with #!/bin/sh") != std::string::npos);
    }
    for (const auto* same : {"enabled\ninterpreter /j\nflags: \noffset 1\nmagic 63686f\n",
                             "enabled\ninterpreter /j\nflags: \noffset 0\nmagic 65636800\nmask ffffff00\n"}) {
        CAPTURE(same);
        format(same);
        CHECK(trouble_of(text, some) == "");
    }
    format("enabled\ninterpreter /j\nflags: \nextension .run\n");
    CHECK(trouble_of(directory.file("text.run", "echo hello\n", true), some) == "");
    for (const auto* mark : {"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"})
        CHECK(trouble_of(directory.file("marked", std::string(mark) + "#!/bin/sh\n", true), some)
                  .find("begins with a byte-order mark") != std::string::npos);
    directory.file("some/status", "disabled\n");
    CHECK(trouble_of(directory.path("text.run"), some).find("let it begin with #!/bin/sh") != std::string::npos);
}
