// SPDX-License-Identifier: MIT
// Flags of containers: where they are, who can read them, and what becomes of them after a crash.
#include <filesystem>

#include <instancer/pool/extension.hpp>

#include <docker_support.hpp>

using namespace docker_test;
using instancer::ClientInfo;
using instancer::InstanceRequest;
using instancer::InstanceSecret;

namespace {

/// Each owner's flag is its hash.
InstanceSecret secret(const std::string& file = {})
{
    InstanceSecret made;
    made.make = [](const InstanceRequest& request) -> Result<std::string> {
        return "FLAG{" + request.identity()->owner().hex() + "}";
    };
    made.file = file;
    return made;
}

instancer::DockerOptions options(const InstanceSecret& flag)
{
    auto out = Bench::options();
    out.secret = flag;
    return out;
}

std::string flag_of(const std::string& owner) { return "FLAG{" + Bench::identity(owner).owner().hex() + "}\n"; }

}  // namespace

TEST_CASE("flags: a container has its owner's in the environment")
{
    Bench bench(options(secret()));
    CHECK(bench.inside(bench.start("red"), "echo $FLAG") == flag_of("red"));
    CHECK(bench.inside(bench.start("blue"), "echo $FLAG") == flag_of("blue"));
}

TEST_CASE("flags: the file is in memory, belongs to the container's user, and is not in the inspection")
{
    Bench bench(options(secret("/run/flag/flag")));
    const auto red = bench.start("red");
    CHECK(bench.inside(red, "cat /run/flag/flag; echo $FLAG") == flag_of("red") + "\n");
    CHECK(bench.inside(red, "stat -c '%a %u:%g' /run/flag/flag; stat -c '%a %u:%g' /run/flag") ==
          "400 65534:65534\n755 0:0\n");
    CHECK(
        bench.inside(red, "rm -f /run/flag/flag 2>/dev/null; touch /run/flag/x 2>/dev/null; ls -a /run/flag | wc -l") ==
        "3\n");
    CHECK(bench.inside(red, "grep -c ' /run/flag tmpfs ' /proc/mounts") == "1\n");
    CHECK(Engine().inspect(red.name()).dump().find("FLAG{") == std::string::npos);
}

TEST_CASE("flags: a directory of --tmpfs, and /tmp, are used as they are")
{
    auto with_tmpfs = options(secret("/scratch/flag"));
    with_tmpfs.tmpfs.emplace_back("/scratch", 1 << 20);
    Bench bench(with_tmpfs), tmp(options(secret("/tmp/flag")));
    CHECK(bench.inside(bench.start("red"), "cat /scratch/flag; touch /scratch/own && echo writable") ==
          flag_of("red") + "writable\n");
    CHECK(tmp.inside(tmp.start("red"), "cat /tmp/flag") == flag_of("red"));
}

TEST_CASE("flags: permissions and owner can be others")
{
    auto flag = secret("/run/flag/flag");
    flag.mode = 0440;
    flag.owner.emplace(0, 65534);
    Bench bench(options(flag));
    CHECK(bench.inside(bench.start("red"), "stat -c '%a %u:%g' /run/flag/flag; cat /run/flag/flag") ==
          "440 0:65534\n" + flag_of("red"));
}

TEST_CASE("flags: a warm container gets the file when it is claimed")
{
    Bench bench(options(secret("/run/flag/flag")));
    CHECK(bench.backend().traits().personalizes());
    const auto warm = bench.try_start(InstanceRequest("svc"));
    REQUIRE(warm);
    CHECK(bench.inside(*warm, "ls /run/flag") == "");
    REQUIRE(bench.await(bench.backend().personalize(*warm, {"svc", Bench::identity("red"), ClientInfo()})));
    CHECK(bench.inside(*warm, "cat /run/flag/flag") == flag_of("red"));
}

TEST_CASE("flags: a container that speaks on its standard streams has the file before its client comes")
{
    auto with_stdio = options(secret("/run/flag/flag"));
    with_stdio.io = instancer::DockerIo::stdio;
    with_stdio.command = {"sh"};
    Bench bench(with_stdio);
    CHECK(bench.inside(bench.start("red"), "cat /run/flag/flag") == flag_of("red"));
}

TEST_CASE("flags: an image that puts links in the way gets no file written elsewhere")
{
    auto linked = options(secret("/data/flag"));
    linked.command = {"sh", "-c", "ln -s /tmp/away /data/flag; exec nc -ll -p 9000 -e sh"};
    linked.tmpfs.emplace_back("/data", 1 << 20);
    Bench bench(linked);
    const auto warm = bench.try_start(InstanceRequest("svc"));
    REQUIRE(warm);
    CHECK(bench.inside(*warm, "test -L /data/flag && echo linked") == "linked\n");
    REQUIRE(bench.await(bench.backend().personalize(*warm, {"svc", Bench::identity("red"), ClientInfo()})));
    CHECK(bench.inside(*warm, "cat /data/flag; ls /tmp") == flag_of("red"));
    CHECK_FALSE(std::filesystem::exists("/tmp/away"));
}

TEST_CASE("flags: a container with a flag of another kind is not taken over")
{
    auto first_flag = secret("/run/flag/flag");
    first_flag.version = "one";
    auto made = options(first_flag);
    Bench first(made);
    first.start("red");
    first.crash();
    SUBCASE("another version")
    {
        made.secret.version = "two";
        Bench second(made);
        const auto found = second.await(second.backend().recover("svc"));
        REQUIRE(found);
        CHECK(found->empty());
        CHECK(second.containers() == 0);
    }
    SUBCASE("the same version")
    {
        Bench second(made);
        const auto found = second.await(second.backend().recover("svc"));
        REQUIRE((found && found->size() == 1));
        CHECK(second.inside((*found)[0].instance(), "cat /run/flag/flag") == flag_of("red"));
        second.stop((*found)[0].instance());
    }
}

TEST_CASE("a container that is taken over keeps the extension of its time to live")
{
    auto made = Bench::options();
    Bench first(made);
    const auto instance = first.start("red");
    REQUIRE(first.await(first.backend().note_extension(instance, 600s)));
    REQUIRE(first.await(first.backend().note_extension(instance, 900s)));
    first.crash();
    Bench second(made);
    auto found = second.await(second.backend().recover("svc"));
    REQUIRE((found && found->size() == 1));
    CHECK((*found)[0].extended() == 900s);
    CHECK((*found)[0].age() < 60s);
    // It stays so when it is not extended again.
    second.crash();
    Bench third(made);
    found = third.await(third.backend().recover("svc"));
    REQUIRE((found && found->size() == 1));
    CHECK((*found)[0].extended() == 900s);
    third.stop((*found)[0].instance());
}
