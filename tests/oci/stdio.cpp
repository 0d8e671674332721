// SPDX-License-Identifier: MIT
#include <algorithm>
#include <random>

#include <oci_support.hpp>

using namespace oci_test;

TEST_CASE("containers: standard streams pass both ways, with their ends, by each runtime")
{
    const Rootfs files;
    const auto before = files.listing();
    auto options = stdio_options(files, {"sh", "-c", "echo welcome; cat; echo goodbye"});
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        {
            Bench bench(options);
            CHECK(bench.backend().traits().single_use());
            CHECK(bench.converse("something") == "welcome\nsomethinggoodbye\n");
        }
        CHECK(leftovers(options.daemon).empty());
        CHECK(files.listing() == before);
    }
}

TEST_CASE("containers: every byte value and ten megabytes pass unchanged")
{
    std::string data(10 << 20, '\0');
    std::minstd_rand random(1);
    for (auto& byte : data)
        byte = static_cast<char>(random() >> 8);
    const Rootfs files;
    Bench bench(stdio_options(files, {"cat"}));
    const bool equal = bench.converse(data) == data;
    CHECK(equal);
}

TEST_CASE("containers: an end of output is told while the program goes on")
{
    const Rootfs files;
    Bench bench(stdio_options(files, {"sh", "-c", "echo over; exec >/dev/null 2>&1 0<&-; sleep 100"}));
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.talk(stream, "") == "over\n");
}

TEST_CASE("containers: standard error goes where it was told to")
{
    const Rootfs files;
    auto options = stdio_options(files, {"sh", "-c", "echo one >&2; echo two; printf 'three\nfour' >/dev/stderr"});
    SUBCASE("log")
    {
        Bench bench(options);
        CHECK(bench.converse("") == "two\n");
        CHECK(bench.events.all("output") == std::vector<std::string>{"one", "three", "four"});
    }
    SUBCASE("client")
    {
        options.command = {"sh", "-c", "echo one >&2; echo two; printf 'three\nfour' >&2"};
        options.stderr_to = StderrTo::client;
        Bench bench(options);
        CHECK(bench.converse("") == "one\ntwo\nthree\nfour");
        CHECK(bench.events.all("output").empty());
    }
    SUBCASE("null")
    {
        options.stderr_to = StderrTo::null;
        Bench bench(options);
        CHECK(bench.converse("") == "two\n");
        CHECK(bench.events.all("output").empty());
    }
}

TEST_CASE("containers: an exit is told with its code or signal, and the last lines of standard error")
{
    const Rootfs files;
    std::string script, expected;
    SUBCASE("code")
    {
        script = "read line; echo because >&2; exit 3";
        expected = "exit code 3";
    }
    SUBCASE("signal")
    {
        script = "read line; echo because >&2; kill -9 $$";
        expected = "signal 9";
    }
    Bench bench(stdio_options(files, {"sh", "-c", script}));
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.talk(stream, "go\n") == "");
    const auto exit = bench.end_of(instance);
    CHECK_MESSAGE((exit.starts_with(expected + "\n") && exit.find("because") != exit.npos), exit);
    const auto again = bench.await(bench.backend().open(instance, {}));
    CHECK((!again && again.error() == Errc::instance_gone));
}

TEST_CASE("containers: a terminal of each kind")
{
    const Rootfs files;
    auto options = stdio_options(files, {"sh", "-c", "test -t 0 && test -t 2 && tty && cat && echo over"});
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        options.pty = TerminalMode::cooked;
        Bench bench(options);
        const auto instance = bench.start();
        auto stream = bench.open(instance);
        CHECK(bench.read_until(stream, "\n") == "/dev/pts/0\n");
        CHECK(bench.talk(stream, "line\n") == "line\nover\n");
    }
    options.pty = TerminalMode::echo;
    Bench echoing(options);
    auto echoed = echoing.open(echoing.start());
    CHECK(echoing.read_until(echoed, "\n") == "/dev/pts/0\r\n");
    CHECK(echoing.talk(echoed, "line\n") == "line\r\nline\r\nover\r\n");
    options.pty = TerminalMode::raw;
    options.command = {"sh", "-c", "head -c 3"};
    Bench raw(options);
    auto stream = raw.open(raw.start());
    CHECK(raw.talk(stream, "\x03\x04\r") == "\x03\x04\r");
}

TEST_CASE("containers: the image says what is not said otherwise, and what is said follows its entrypoint")
{
    const Rootfs files;
    auto options = stdio_options(files, {});
    options.image.entrypoint = {"sh", "-c", "echo $0 $A $B $HOME; id"};
    options.image.command = {"own"};
    options.image.env = {{"A", "1"}, {"B", "2"}};
    options.image.user = "player";
    options.image.working_directory = "/data";
    options.env = {{"B", "3"}};
    Bench own(options);
    CHECK(own.converse("") == "own 1 3 /home/player\nuid=1234(player) gid=99(players) groups=77(extra)\n");
    options.command = {"other"};
    options.user = "4321";
    Bench other(options);
    CHECK(other.converse("") == "other 1 3 /\nuid=4321 gid=0(root)\n");
}

TEST_CASE("containers: what a program is told of its client")
{
    const Rootfs files;
    Bench bench(stdio_options(files, {"sh", "-c", "echo $INSTANCER_SERVICE $INSTANCER_CLIENT_ADDRESS"}));
    CHECK(bench.converse("") == "svc 192.0.2.7\n");
}

TEST_CASE("containers: variables of one client count for more than those of all")
{
    const Rootfs files;
    auto options = stdio_options(files, {"sh", "-c", "echo $LEVEL $TEAM"});
    options.env = {{"LEVEL", "1"}};
    Bench bench(options);
    InstanceRequest request("svc", Bench::identity("someone"), instancer::ClientInfo());
    request.environment({{"LEVEL", "2"}, {"TEAM", "red"}});
    const auto instance = bench.try_start(std::move(request));
    REQUIRE_MESSAGE(instance, instance.error().message());
    auto stream = bench.open(*instance);
    CHECK(bench.talk(stream, "") == "2 red\n");
}

TEST_CASE("containers: who cannot be started is refused with the reason, before any client comes")
{
    const Rootfs files;
    auto options = stdio_options(files, {"no-such-program"});
    const auto says = [&](const std::string& part) {
        const auto text = refusal(options);
        CHECK_MESSAGE(text.find(part) != text.npos, text);
    };
    says("no-such-program: executing it in the container: No such file or directory");
    options.command = {"/etc/passwd"};
    says("/etc/passwd: executing it in the container: Permission denied");
    options.command = {"true"};
    options.user = "nobody-here";
    says("nobody-here");
    options.user.clear();
    options.runtime = "no-such-runtime";
    says("no-such-runtime");
    options.runtime = "/bin/true";
    says("is no container runtime");
    options.runtime.clear();
    options.image.root = "/no/such/root";
    says("there is no directory /no/such/root");
    options.image.root = files.path();
    options.mounts.emplace_back("/no/such/source", "/mnt");
    says("there is no /no/such/source");
    CHECK(leftovers(options.daemon).empty());
}
