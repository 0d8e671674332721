// SPDX-License-Identifier: MIT
#include <oci_support.hpp>

#include <csignal>

using namespace oci_test;

TEST_CASE("containers: an instance that is told to end may do so in its own way")
{
    const Rootfs files;
    auto options =
        stdio_options(files, {"sh", "-c", "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.01; done"});
    Bench bench(options);
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.read_until(stream, "ready\n") == "ready\n");
    bench.stop(instance);
    CHECK(bench.read_until(stream, "\n") == "asked\n");
    CHECK(bench.await(bench.backend().wait(instance)).text() == "stopped");
}

TEST_CASE("containers: what refuses to end, and what hides from its parent, is killed")
{
    const Rootfs files;
    const auto mark = "31" + std::to_string(::getpid());
    auto options =
        stdio_options(files, {"sh", "-c", "trap '' TERM; setsid sleep " + mark + " & echo ready; sleep " + mark});
    options.stop_grace = 10ms;
    Bench bench(options);
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.read_until(stream, "ready\n") == "ready\n");
    bench.stop(instance);
    CHECK(processes_with(mark).empty());
}

TEST_CASE("containers: all ends with the program, whatever it leaves")
{
    const Rootfs files;
    const auto mark = "32" + std::to_string(::getpid());
    Bench bench(stdio_options(files, {"sh", "-c", "setsid sleep " + mark + " & echo over"}));
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    CHECK(bench.talk(stream, "") == "over\n");
    CHECK(bench.end_of(instance).starts_with("exit code 0\n"));
    bench.stop(instance);
    CHECK(processes_with(mark).empty());
}

TEST_CASE("containers: a runtime that is killed takes its instance along, and leaves nothing")
{
    const Rootfs files;
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const auto mark = "33" + std::to_string(::getpid());
        auto options = stdio_options(files, {"sleep", mark});
        options.runtime = runtime;
        {
            Bench bench(options);
            const auto instance = bench.start();
            for (const auto pid : processes_with("instancer." + options.daemon + "."))
                ::kill(pid, SIGKILL);
            CHECK(bench.end_of(instance).starts_with("its container runtime was killed"));
            bench.stop(instance);
            CHECK(processes_with(mark).empty());
        }
        CHECK(leftovers(options.daemon).empty());
    }
}

TEST_CASE("containers: the file of a secret is there before the first client, and a warm one's when it is claimed")
{
    const Rootfs files;
    auto options = oci_test::options(files);
    options.secret.make = [](const InstanceRequest&) { return instancer::Result<std::string>("flag{it}"); };
    options.secret.file = "/run/flag/flag";
    options.secret.mode = 0440;
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        CHECK(bench.backend().traits().personalizes());
        const auto look = "cat /run/flag/flag; stat -c '%a %u' /run/flag/flag; touch /run/flag/x 2>&1";
        const std::string seen = "flag{it}\n440 65534\ntouch: /run/flag/x: Permission denied\n";
        CHECK(bench.inside(bench.start(), look) == seen);
        const auto warm = bench.try_start(InstanceRequest("svc"));
        REQUIRE_MESSAGE(warm, warm.error().message());
        CHECK(bench.inside(*warm, "ls /run/flag") == "");
        InstanceRequest claim("svc", Bench::identity("someone"), instancer::ClientInfo());
        CHECK(bench.await(bench.backend().personalize(*warm, std::move(claim))));
        CHECK(bench.inside(*warm, look) == seen);
    }
}

TEST_CASE("containers: a secret of the environment")
{
    const Rootfs files;
    auto options = stdio_options(files, {"sh", "-c", "echo $FLAG"});
    options.secret.make = [](const InstanceRequest&) { return instancer::Result<std::string>("flag{it}"); };
    Bench bench(options);
    CHECK(bench.converse("") == "flag{it}\n");
}

TEST_CASE("containers: what each client has is the only variable of its name")
{
    const Rootfs files;
    auto options = stdio_options(files, {"busybox", "env"});
    options.image.env = {{"FLAG", "placeholder"}, {"INSTANCER_SERVICE", "placeholder"}};
    options.secret.make = [](const InstanceRequest&) { return instancer::Result<std::string>("flag{it}"); };
    Bench bench(options);
    const auto said = bench.converse("");
    CHECK(said.find("FLAG=flag{it}\n") != said.npos);
    CHECK(said.find("INSTANCER_SERVICE=svc\n") != said.npos);
    CHECK(said.find("placeholder") == said.npos);
}

TEST_CASE("containers: many at once are all told apart and all gone afterwards")
{
    const Rootfs files;
    const auto options = stdio_options(files, {"cat"});
    {
        Bench bench(options);
        std::vector<instancer::Instance> started;
        for (int i = 0; i < 50; ++i)
            bench.begin_start(Bench::identity(std::to_string(i)), started);
        bench.until([&] { return started.size() == 50; });
        std::vector<instancer::Stream> streams;
        for (const auto& instance : started)
            streams.push_back(bench.open(instance));
        for (std::size_t i = 0; i < streams.size(); ++i)
            CHECK(bench.talk(streams[i], "I am " + std::to_string(i)) == "I am " + std::to_string(i));
    }
    CHECK(leftovers(options.daemon).empty());
}
