// SPDX-License-Identifier: MIT
#include "docker_support.hpp"

#include <random>

using namespace docker_test;
using instancer::DockerIo;
using instancer::DockerOptions;
using instancer::StderrTo;

namespace {

DockerOptions stdio_options(std::vector<std::string> command)
{
    auto options = Bench::options();
    options.io = DockerIo::stdio;
    options.command = std::move(command);
    return options;
}

/// Starts an instance, sends `input` and the end of it, and returns everything that it says.
std::string converse(Bench& bench, std::string input)
{
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    auto answer = bench.talk(stream, std::move(input));
    stream.close();
    bench.stop(instance);
    return answer;
}

}  // namespace

TEST_CASE("standard streams: the first word is the instance's, and the client's end reaches it")
{
    Bench bench(stdio_options({"sh", "-c", "echo welcome; cat; echo goodbye"}));
    CHECK(bench.backend().traits().single_use());
    CHECK(converse(bench, "something") == "welcome\nsomethinggoodbye\n");
    CHECK(bench.containers() == 0);
}

TEST_CASE("standard streams: every byte value passes unchanged")
{
    std::string all;
    for (int i = 0; i < 256; ++i)
        all += static_cast<char>(i);
    Bench bench(stdio_options({"cat"}));
    CHECK(converse(bench, all) == all);
}

TEST_CASE("standard streams: ten megabytes come and go unchanged")
{
    std::string data(10 << 20, '\0');
    std::minstd_rand random(1);
    for (auto& byte : data)
        byte = static_cast<char>(random() >> 8);
    Bench bench(stdio_options({"cat"}));
    const bool equal = converse(bench, data) == data;
    CHECK(equal);
}

TEST_CASE("standard streams: standard error goes where it was told to")
{
    const std::vector<std::string> command = {"sh", "-c", "echo one >&2; echo two; printf 'three\nfour' >&2"};
    auto options = stdio_options(command);
    SUBCASE("log")
    {
        Bench bench(options);
        CHECK(converse(bench, "") == "two\n");
        CHECK(bench.events.all("output") == std::vector<std::string>{"one", "three", "four"});
    }
    SUBCASE("client")
    {
        options.stderr_to = StderrTo::client;
        Bench bench(options);
        auto answer = converse(bench, "");
        for (const auto* part : {"one\n", "two\n", "three\nfour"})
            CHECK(answer.find(part) != answer.npos);
        CHECK(bench.events.all("output").empty());
    }
    SUBCASE("null")
    {
        options.stderr_to = StderrTo::null;
        Bench bench(options);
        CHECK(converse(bench, "") == "two\n");
        CHECK(bench.events.all("output").empty());
    }
}

TEST_CASE("standard streams: whoever writes standard error without end is read slowly")
{
    auto options = stdio_options({"sh", "-c", "yes because | head -c 3145728 >&2; echo done"});
    SUBCASE("for the log") {}
    SUBCASE("for nobody") { options.stderr_to = StderrTo::null; }
    Bench bench(options);
    const auto instance = bench.start();
    const auto begin = std::chrono::steady_clock::now();
    auto stream = bench.open(instance);
    CHECK(bench.talk(stream, "") == "done\n");
    CHECK(std::chrono::steady_clock::now() - begin >= 1s);
    CHECK(bench.events.all("output").size() < 5000);
}

TEST_CASE("standard streams: an exit is told with its code and the last lines of standard error")
{
    Bench bench(stdio_options({"sh", "-c", "read line; echo because >&2; exit 3"}));
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.talk(stream, "go\n") == "");
    const auto exit = bench.end_of(instance);
    CHECK_MESSAGE((exit.starts_with("exit code 3") && exit.find("because") != exit.npos), exit);
    const auto again = bench.await(bench.backend().open(instance, {}));
    CHECK((!again && again.error() == Errc::instance_gone));
}

TEST_CASE("standard streams: a client that leaves ends the input")
{
    Bench bench(stdio_options({"sh", "-c", "cat; exit 5"}));
    const auto instance = bench.start();
    bench.open(instance).abort();
    CHECK(bench.end_of(instance).starts_with("exit code 5"));
}

TEST_CASE("standard streams: a terminal, if asked for, with an end of input")
{
    auto options = stdio_options({"sh", "-c", "stty -echo -ixon -iexten; test -t 0 && echo terminal; cat; echo over"});
    options.pty = true;
    Bench bench(options);
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.read_until(stream, "terminal\r\n").ends_with("terminal\r\n"));
    // Keys that would end the connection for the `docker` command, and an end within a line.
    CHECK(bench.talk(stream, "\x10\x11line") == "\x10\x11lineover\r\n");
}

TEST_CASE("standard streams: a stream moves to another executor")
{
    asio::io_context elsewhere;
    Bench bench(stdio_options({"cat"}));
    auto stream = bench.open(bench.start());
    REQUIRE(stream.rebind(elsewhere.get_executor()));
    CHECK(stream.get_executor() == asio::any_io_executor(elsewhere.get_executor()));
    std::string answer;
    asio::co_spawn(elsewhere, Bench::exchange(stream, "moved"),
                   [&](std::exception_ptr, std::string text) { answer = text; });
    elsewhere.run_for(20s);
    CHECK(answer == "moved");
}

TEST_CASE("standard streams: containers of a crashed run are removed, not taken over")
{
    const auto options = stdio_options({"sleep", "100"});
    Bench first(options);
    first.start();
    CHECK(first.containers() == 1);
    first.crash();
    Bench second(options);
    const auto found = second.await(second.backend().recover("svc"));
    CHECK((found && found->empty()));
    CHECK(second.containers() == 0);
}
