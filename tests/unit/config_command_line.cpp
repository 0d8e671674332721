// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>

#include <doctest/doctest.h>

#include "config/command_line.hpp"
#include "config/config.hpp"
#include "config_problems.hpp"
#include "options/options.hpp"
#include "paths.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;
using config_test::complaint;

namespace {

using Words = std::vector<std::string>;

/// The arguments of a command line that needs no quotes.
Words words(const std::string& line) { return line.empty() ? Words() : split(line, ' '); }

ServiceSettings service_of(const std::string& line)
{
    CHECK(complaint(words(line)) == "");
    return parse_command_line(words(line)).settings.services.at(0);
}

bool says(const std::string& line, const std::string& part) { return test_text::holds(complaint(words(line)), part); }

}  // namespace

TEST_CASE("the reference's own use")
{
    const daemon_test::TemporaryDirectory directory;
    const auto tokens = directory.file("tokens.txt", std::string(128, 'x'));
    const auto service = service_of("exec --listen :12345 --auth token --tokens " + tokens +
                                    " --io port "
                                    "--ports 8000-8009 --ttl 20s --when-full cull-oldest -- /bin/cat server.py {port}");
    CHECK(service.listen.at(0).text() == ":12345");
    CHECK(service.auth == Auth::token);
    CHECK(service.io == ProcessIo::port);
    CHECK(service.pool.ttl == 20s);
    CHECK(service.pool.max_instances == 10);
    CHECK(service.pool.when_full == WhenFull::cull_oldest);
    CHECK(service.command == words("/bin/cat server.py {port}"));
}

TEST_CASE("what follows -- is the command's, whatever it looks like")
{
    const auto service = service_of("exec --listen :1 -- /bin/cat --ttl x -- run [a,b] ");
    CHECK(service.command == words("/bin/cat --ttl x -- run [a,b] "));
    CHECK(service.pool.ttl == 0s);
}

TEST_CASE("options that may be repeated, flags, and values after =")
{
    const auto service = service_of("exec --listen=:1 --listen [::1]:2 --env A=1,2 --env B=[x] --pty -- cat");
    CHECK(service.listen.size() == 2);
    CHECK(service.env == std::vector<std::pair<std::string, std::string>>{{"A", "1,2"}, {"B", "[x]"}});
    CHECK(service.pty == TerminalMode::cooked);
    for (const auto* raw : {"exec --listen :1 --pty raw -- cat", "exec --pty=raw --listen :1 -- cat"})
        CHECK(service_of(raw).pty == TerminalMode::raw);
    CHECK(service_of("exec --listen :1 --pty echo -- cat").pty == TerminalMode::echo);
    CHECK(service_of("exec --pty --listen :1 -- cat").pty == TerminalMode::cooked);
}

TEST_CASE("a value may look like a command or an option")
{
    CHECK(service_of("docker --listen :1 --image run").docker.image == "run");
    CHECK(service_of("docker --listen :1 --image --pty").docker.image == "--pty");
}

TEST_CASE("docker: image and port, or standard streams; the command may be left out")
{
    const auto port = service_of("docker --listen :1 --image heap --port 9000 --limit-memory 64m --limit-cpus 0.5 "
                                 "--limit-tmp 8m");
    CHECK(port.docker.port == 9000);
    CHECK(port.limits.memory == 64u << 20);
    CHECK(port.limits.cpus == 0.5);
    CHECK(port.command.empty());
    const auto stdio = service_of("docker --listen :1 --image heap --stdio -- sh");
    CHECK(stdio.docker.io == DockerIo::stdio);
    CHECK(stdio.single_use());
    CHECK(stdio.command == words("sh"));
}

TEST_CASE("forward: options, or the words of the original")
{
    const auto service = service_of("forward --listen :1 --to a:80=3,b:81 --to unix:/u --balance random");
    REQUIRE(service.upstream.upstreams.size() == 3);
    CHECK(service.upstream.upstreams[0].weight == 3);
    CHECK(service.upstream.balance == Balance::random);
    const auto apart = service_of("forward ::1 8080 10.0.0.1 80"),
               joined = service_of("forward [::1]:8080 10.0.0.1:80");
    for (const auto* words : {&apart, &joined}) {
        CHECK(words->listen.at(0).text() == "[::1]:8080");
        CHECK(words->upstream.upstreams.at(0).text() == "10.0.0.1:80");
    }
}

TEST_CASE("wrong command lines are answered with the right one")
{
    says("", "instancerd exec   --listen");
    says("exce", "unknown command 'exce'; did you mean exec?");
    says("--listen :1", "options follow a command");
    says("exec --lisen :1", "unknown option --lisen; did you mean --listen?");
    says("exec --lisen=:1", "did you mean --listen?");
    says("exec -x", "unknown option -x");
    says("exec --listen :1 cat", "unexpected 'cat'; the command to run comes last, after --");
    says("exec --listen :1 --image x -- cat", "--image works only with instancerd docker");
    says("docker --listen :1 --io port", "--io works only with instancerd exec");
    says("exec --listen", "--listen");
    says("exec --listen :1 --ttl 1s --ttl 2s -- cat", "--ttl: is there 2 times");
    says("exec --listen :1", "there is no command to run; put it last, after --");
    says("exec -- cat", "has no address to listen on; add --listen :1337");
    says("exec --listen :1 --limit-tmp 1m -- cat",
         "--limit-tmp: cannot be enforced for a process; remove it or use --sandbox");
    says("exec --listen :1 --limit-log 1m -- cat", "remove it or use instancerd docker");
    says("oci --listen :1 --stdio --rootfs / -- cat", "--rootfs: would show instances all files of this host");
    says("oci --listen :1 --stdio --archive /usr -- cat", "--archive: is a directory: /usr; name a file");
    says("oci --listen :1 --stdio --rootfs /usr --mount /run:/r -- cat",
         "--mount: /run would give containers the Docker");
    says("oci --listen :1 --stdio --rootfs /usr --user 700 -- cat", "that of root; add --user 700:700");
    says("exec --listen :1 -- cat {port}", "{port} needs --io port");
    says("exec --listen :1 --ports 1-2 -- cat", "--ports: needs --io port");
    says("docker --listen :1 --port 1", "has no image to run; add --image NAME");
    says("docker --listen :1 --image i --port 1 --stdio",
         "--port: cannot work together with --stdio; remove one of them");
    says("exec --listen :1 docker", "unexpected 'docker'");
    says("forward --listen :1", "has nowhere to pass connections on to; add --to host:port");
    says("forward --listen :1 --to a", "--to: 'a' has no port");
    says("forward --listen :1 --to :80", "--to: ':80' names no server");
    says("forward --listen :1 --to a:1=x", "--to: the weight of a:1: 'x' does not fit");
    says("forward --listen :1 --to a:1,a:1", "--to: a:1 is there twice; give it a weight instead, as in a:1=2");
    says("forward --listen :1 --to a:1 -- cat", "is not run: forward passes connections on");
    says("forward --listen :1 --to a:1 --max-instances 3", "--max-instances: is for instances");
    says("forward --listen :1 --to a:1 --connect-timeout 0", "--connect-timeout: must be longer than 0");
    says("forward 127.0.0.1 80 10.0.0.1", "unexpected '127.0.0.1'; write --listen ADDR --to ADDR");
    says("forward 127.0.0.1 80 ::1 99999", "--to: '99999' is not a port");
    says("exec --listen :1 --to a:1 -- cat", "--to works only with instancerd forward");
    says("forward --listen :1 --to a:1 --traffic-log hx", "'hx' is none of off, text, hex; did you mean hex?");
    says("forward --listen :1 --to a:1 --traffic-log-limit 1k", "needs --traffic-log text or --traffic-log hex");
    says("forward --listen :1 --to a:1 --traffic-log hex --log-level error", "shows nothing where only warnings");
    says("forward --listen :1 --to a:1 --record /none/such", "--record: there is no directory /none/such");
    says("forward --listen :1 --to a:1 --record-total 1g", "--record-total: needs --record DIR");
    says("forward --listen :1 --to a:1 --record /tmp --record-limit 2g", "--record-limit: is more than all recordings");
    says("exec --listen :1 --io socket --record /tmp -- cat", "--record: cannot work together with --io socket");
    says("exec --listen :1 --io socket --traffic-log hex -- cat",
         "--traffic-log: cannot work together with --io socket: no byte passes through us");
    says("run exec", "unexpected 'exec'");
    says("exec ---", "unknown option ---");
    CHECK(complaint({""}) == "unknown command ''; see instancerd --help");
    says("exec --frobnicate", "unknown option --frobnicate; see instancerd exec --help");
    says("run --config a --config b", "--config: is there more than once; keep one of them");
    says("exec --listen :1 --ttl", "--ttl: has no value; write one after it");
    says("exec --listen :1 --pty=xyz -- cat", "--pty: 'xyz' is no kind of terminal; write echo, raw, or nothing");
    says("exec --listen :1 --pty xyz -- cat", "--pty: 'xyz' is no kind of terminal");
    says("exec --listen :1 --pty --pty -- cat", "--pty: is there 2 times");
    says("docker --listen :1 --image i --stdio --pty raw", "--pty: raw works only with exec");
    says("docker --listen :1 --image i --stdio --pty echo", "--pty: echo works only with exec");
    says("exec --listen :1 --unix-group root -- cat", "--unix-group: is for the files of Unix sockets only");
    says("exec --listen unix:@x --unix-mode 0600 -- cat", "--unix-mode: is for the files of Unix sockets only");
    says("relay --listen :1 --auth-string x --control unix:x --unix-mode 0660",
         "--unix-mode: is for the files of Unix sockets only");
    says("exec --listen unix:x --unix-owner no-such-user -- cat", "--unix-owner: there is no user 'no-such-user'");
    says("exec --listen unix:x --unix-group no-such-group -- cat", "--unix-group: there is no group");
    says("exec --listen unix:x -- cat {listen-port}", "{listen-port} needs clients that come by TCP");
    says("exec --listen :1 --io port --warm 1 -- cat {listen-port}", "{listen-port} cannot work together with --warm");
    says("relay --listen :1 --auth-string x --control unix:@x", "--control: unix:@x has no permissions");
    says("relay --listen :1 --auth-string x --half-close pass --max-connections 3", "must be 2 with --half-close pass");
    says("relay --listen :1 --auth-string x --half-close pass -e",
         "--echo: cannot work together with --half-close pass");
    says("docker --listen :1 --image i --port 1 --egress=yes", "--egress: takes no value; remove =yes");
    says("docker --listen :1 --image i --stdio --pty --stderr log", "--stderr: cannot work together with --pty");
    says("run", "Add --config FILE");
    says("check --config /no/such.json", "cannot read /no/such.json");
    says("check services.json", "Write --config services.json");
    says("run --config /dev/null --listen :1", "unexpected '--listen'");
    says("run --config /dev/null --log-level loud", "--log-level: 'loud' is none of");
    says("run --config /dev/null -- cat", "unexpected '--'");
}

TEST_CASE("oci: files and a command, and how to reach it")
{
    const auto stdio = service_of("oci --listen :1 --rootfs /usr --stdio --pty raw --runtime runc -- sh");
    CHECK(stdio.mode == Mode::oci);
    CHECK(stdio.oci.root == "/usr");
    CHECK(stdio.oci.runtime == "runc");
    CHECK(stdio.docker.runtime.empty());
    CHECK(stdio.pty == TerminalMode::raw);
    CHECK(stdio.single_use());
    CHECK_FALSE(service_of("oci --listen :1 --rootfs /usr --port 9000 -- sh").single_use());
    says("oci --listen :1 --stdio -- sh", "has no files to run in; add --rootfs DIR or --archive FILE");
    says("oci --listen :1 --rootfs /no/such --stdio -- sh", "there is no directory /no/such");
    says("oci --listen :1 --rootfs /usr --stdio", "there is no command to run");
    says("oci --listen :1 --rootfs /usr -- sh", "add --stdio or --port N");
    says("oci --listen :1 --rootfs /usr --stdio --runtime no-such-runtime -- sh", "no program no-such-runtime");
    says("oci --listen :1 --rootfs /usr --port 1 --stderr client -- sh", "client needs --stdio");
    says("oci --listen :1 --rootfs /usr --stdio --limit-log 1m -- sh", "for output that an engine keeps");
    says("oci --listen :1 --rootfs /usr --stdio --egress -- sh", "--egress works only with instancerd docker");
    says("oci --listen :1 --rootfs /usr --stdio --tmpfs /tmp:1m -- sh", "set its size by --limit-tmp");
}

TEST_CASE("oci: an archive says what is not said otherwise")
{
    const daemon_test::TemporaryDirectory directory;
    const auto archive = directory.file("image.tar", "");
    const auto service = service_of("oci --listen :1 --archive " + archive);
    CHECK(service.oci.archive == archive);
    CHECK(service.oci.store == "/var/lib/instancerd/oci");
    CHECK(service_of("oci --listen :1 --store /srv/images --archive " + archive + " --port 1 -- sh").oci.store ==
          "/srv/images");
    says("oci --listen :1 --archive /no/such --stdio", "--archive: there is no file /no/such; write it by docker save");
    says("oci --listen :1 --rootfs /usr --archive " + archive + " --stdio -- sh",
         "--archive: cannot work together with --rootfs; remove one of them");
    says("oci --listen :1 --rootfs /usr --store /srv --stdio -- sh",
         "--store: needs --archive FILE; add that or remove this");
    CHECK(parse_command_line(words("oci prune")).text == "which configuration? Add --config FILE");
    CHECK(parse_command_line(words("oci prune --config /dev/null")).kind == Command::Kind::prune);
}

TEST_CASE("docker: the engine is the one of DOCKER_HOST unless there is an option")
{
    const auto engine = [](const std::string& more) {
        const auto command = parse_command_line(words("docker --listen :1 --image i --stdio" + more));
        return command.settings.services.at(0).docker.engine;
    };
    const char* before = std::getenv("DOCKER_HOST");
    const std::string kept = before ? before : "";
    ::setenv("DOCKER_HOST", "unix:///run/another.sock", 1);
    CHECK(engine("") == "unix:///run/another.sock");
    CHECK(engine(" --engine unix:///run/mine.sock") == "unix:///run/mine.sock");
    ::setenv("DOCKER_HOST", "tcp://192.0.2.1:2375", 1);
    says("docker --listen :1 --image i --stdio", "DOCKER_HOST 'tcp://192.0.2.1:2375', which is no engine on this host");
    ::unsetenv("DOCKER_HOST");
    CHECK(engine("") == "unix:///var/run/docker.sock");
    if (before)
        ::setenv("DOCKER_HOST", kept.c_str(), 1);
}

TEST_CASE("--help shows every option of its command with its default")
{
    const auto whole = parse_command_line(words("--help"));
    const auto exec = parse_command_line(words("exec --help"));
    const auto docker = parse_command_line(words("docker -h"));
    const auto oci = parse_command_line(words("oci -h"));
    const auto forward = parse_command_line(words("forward --help"));
    const auto relay = parse_command_line(words("relay --help"));
    const auto server = parse_command_line(words("tunnel server --help"));
    const auto agent = parse_command_line(words("tunnel agent --help"));
    CHECK(whole.kind == Command::Kind::print);
    CHECK(exec.kind == Command::Kind::print);
    for (const std::string command : {"run", "check"}) {
        const auto of_file = parse_command_line(words(command + " --help"));
        CHECK(of_file.kind == Command::Kind::print);
        CHECK(of_file.text.find("Usage: instancerd run --config FILE") == 0);
    }
    const auto ctl = parse_command_line(words("ctl --help"));
    const auto tunnel = parse_command_line(words("tunnel --help"));
    CHECK(tunnel.kind == Command::Kind::print);
    CHECK(tunnel.text.find("Usage: instancerd tunnel server") == 0);
    // Wrapping may fall anywhere, so compare without blanks.
    const auto squeezed = [](std::string_view text) {
        std::string result;
        for (const char c : text)
            if (c != ' ' && c != '\n')
                result += c;
        return result;
    };
    const auto shows = [&](const std::string& help, const Option& option) {
        const auto text = squeezed(help);
        const auto begin =
            text.find("--" + std::string(option.name) + squeezed(option.value()) + squeezed(option.description()));
        if (begin == text.npos)
            return false;
        const auto initial = option.default_value();
        const auto expected = initial == "-" ? std::string() : "[" + squeezed(initial) + "]";
        return text.find(expected, begin) != text.npos;
    };
    for (const auto& option : options()) {
        CAPTURE(option.name);
        CHECK(shows(ctl.text, option) == (option.scope == Scope::ctl));
        CHECK(shows(whole.text, option) == (option.scope != Scope::ctl));
        const bool daemon = includes(option.scope, Scope::daemon);
        CHECK(shows(exec.text, option) == (daemon || includes(option.scope, Scope::exec)));
        CHECK(shows(forward.text, option) == (daemon || includes(option.scope, Scope::forward)));
        CHECK(shows(relay.text, option) == (daemon || includes(option.scope, Scope::relay)));
        CHECK(shows(server.text, option) == (daemon || includes(option.scope, Scope::tunnel_server)));
        CHECK(shows(agent.text, option) == (daemon || includes(option.scope, Scope::tunnel_agent)));
        CHECK(shows(docker.text, option) == (daemon || includes(option.scope, Scope::docker)));
        CHECK(shows(oci.text, option) == (daemon || includes(option.scope, Scope::oci)));
    }
    for (std::size_t begin = 0, end; (end = whole.text.find('\n', begin)) != std::string::npos; begin = end + 1)
        CHECK(end - begin <= 100);
}

TEST_CASE("--version") { CHECK(parse_command_line(words("--version")).text == "instancerd " PROJECT_VERSION "\n"); }

namespace {

std::string contents(const std::string& path)
{
    std::ifstream file(test_paths::sources + "/" + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

const std::string readme = contents("README.md");

/// The lines of a page's code blocks, those that go on after a backslash joined, without comments at their ends.
Words code_lines(const std::string& page)
{
    Words lines;
    bool in_code = false, goes_on = false;
    for (auto line : split(page, '\n')) {
        if (line.substr(0, 3) == "```") {
            in_code = !in_code;
            continue;
        }
        if (!in_code)
            continue;
        line = line.substr(0, line.find("  #"));
        const bool more = !line.empty() && line.back() == '\\';
        if (more)
            line.pop_back();
        if (goes_on)
            lines.back() += line;
        else
            lines.push_back(line);
        goes_on = more;
    }
    return lines;
}

/// The words of a line as a shell has them, as far as the pages use it.
Words shell_words(const std::string& line)
{
    Words found;
    bool inside = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (c == ' ') {
            inside = false;
            continue;
        }
        if (!inside)
            found.emplace_back();
        inside = true;
        if (c != '\'') {
            found.back() += c;
            continue;
        }
        const auto end = line.find('\'', i + 1);
        REQUIRE(end != std::string::npos);
        found.back() += line.substr(i + 1, end - i - 1);
        i = end;
    }
    return found;
}

}  // namespace

TEST_CASE("the page on options has the table as the program has it")
{
    INFO("options.md should hold:\n" << markdown_table());
    CHECK(contents("apps/instancerd/doc/options.md").find("\n\n" + markdown_table()) != std::string::npos);
}

TEST_CASE("the command lines of the pages are right")
{
    Words lines;
    const auto take = [&lines](const std::string& page) {
        const auto found = code_lines(page);
        lines.insert(lines.end(), found.begin(), found.end());
    };
    take(readme);
    for (const auto& file : std::filesystem::directory_iterator(test_paths::sources + "/apps/instancerd/doc"))
        take(contents("apps/instancerd/doc/" + file.path().filename().string()));
    int checked = 0;
    for (const auto& line : lines) {
        if (!line.starts_with("instancerd "))
            continue;
        auto arguments = shell_words(line);
        const auto served = {"exec", "docker", "oci", "forward", "relay", "tunnel"};
        if (std::find(served.begin(), served.end(), arguments.at(1)) == served.end())
            continue;
        CAPTURE(line);
        arguments.erase(arguments.begin());
        const auto command = parse_command_line(arguments);
        CHECK(command.kind == Command::Kind::serve);
        for (const auto& problem : command.problems)
            FAIL_CHECK(problem.format(""));
        // The programs and files that they name are the reader's; all else must be right.
        for (const auto& problem : validate(command.settings)) {
            const auto text = problem.format("");
            const bool about_files = text.find("No such file") != text.npos || text.find("there is no") != text.npos ||
                                     text.find("cannot read") != text.npos;
            if (!about_files)
                FAIL_CHECK(text);
        }
        ++checked;
    }
    CHECK(checked >= 30);
}

TEST_CASE("the configuration of its page is right")
{
    const std::string page = "apps/instancerd/doc/configuration.md";
    std::string text;
    for (const auto& line : code_lines(contents(page)))
        if (!text.empty() || line.find("{ //") == 0)
            text += line + "\n";
    Problems problems;
    // It ends at the first line that is its closing brace.
    const auto settings = read_config("/c.json", text.substr(0, text.find("\n}\n") + 3), problems);
    for (const auto& problem : problems)
        FAIL_CHECK(problem.format(page));
    CHECK(settings.services.size() == 2);
}

TEST_CASE("the code in the README is that of an example, which is compiled")
{
    const auto echo = contents("apps/examples/echo.cpp");
    CHECK(readme.find("```cpp\n" + echo.substr(echo.find("#include")) + "```\n") != std::string::npos);
}

TEST_CASE("options of the daemon beside a configuration go before what it says")
{
    const daemon_test::TemporaryDirectory directory;
    const auto file = directory.file("c.json", R"({ "log-level": "error", "threads": 7, "drain-timeout": "1m",
        "services": { "s": { "mode": "exec", "listen": ":1", "command": ["./cat"] } } })");
    for (const std::string form : {"run", "check"}) {
        const auto command = parse_command_line({form, "--log-level", "debug", "--config", file, "--drain-timeout=2s",
                                                 "--log", "own.log", "-l", "other.log"});
        CHECK(command.kind == (form == "run" ? Command::Kind::serve : Command::Kind::check));
        CHECK(command.settings.log_level == LogLevel::debug);
        CHECK(command.settings.drain_timeout == 2s);
        CHECK(command.settings.threads == 7);
        // A path is relative to where it is written.
        CHECK(command.settings.log_file == std::filesystem::absolute("other.log"));
        CHECK(command.settings.program(command.settings.services.at(0)) == directory.path("cat"));
        REQUIRE(command.problems.size() == 1);
        CHECK(command.problems[0].format(file) == "--log: is there 2 times; keep one of them");
    }
}

TEST_CASE("ranges of ports are addresses and routes of their own")
{
    CHECK(service_of("exec --listen :1-3 --listen :7 -- cat").listen.size() == 4);
    const auto tunnel = parse_command_line({"tunnel", "server", "--route", ":1-3 10.0.0.1:80"});
    CHECK(tunnel.settings.services.at(0).tunnel.routes.size() == 3);
}

TEST_CASE("every description stands by itself")
{
    for (const auto& option : options()) {
        CAPTURE(option.name);
        const auto help = std::string(option.help);
        for (const std::string begin : {"of them", "the same", "for how long", "a file that holds it", "who may not;"})
            CHECK(help.find(begin) != 0);
        CHECK(help.find(" among them") == help.npos);
    }
}

TEST_CASE("a wrong path of instancer-init is told, whatever the mode")
{
    for (const auto* rest :
         {"exec --listen :1 --init /no/such -- /bin/cat", "forward --listen :1 --to 127.0.0.1:2 --init /tmp"}) {
        const auto command = parse_command_line(words(rest));
        REQUIRE(command.kind == Command::Kind::serve);
        const auto problems = validate(command.settings);
        REQUIRE(problems.size() == 1);
        CHECK(problems[0].format("").find("--init: ") != std::string::npos);
        CHECK(problems[0].format("").find("; correct the path, or leave it out") != std::string::npos);
    }
}
