// SPDX-License-Identifier: MIT
#include "docker_support.hpp"

#include <atomic>

#include <engine_proxy.hpp>

using namespace docker_test;
using instancer::DockerIo;
using instancer::DockerOptions;
using instancer::InstanceRequest;

TEST_CASE("an instance is told who its client is, and serves until it is stopped")
{
    Bench bench(Bench::options());
    const auto instance = bench.start();
    CHECK(bench.inside(instance, "echo hello") == "hello\n");
    const auto identity = Bench::identity("someone");
    const auto environment = bench.inside(instance, "env");
    for (const auto& line : {std::string("INSTANCER_SERVICE=svc"), std::string("INSTANCER_CLIENT_ADDRESS=192.0.2.7"),
                             std::string("INSTANCER_CLIENT_PORT=4711"), "INSTANCER_OWNER=" + identity.owner().hex(),
                             "INSTANCER_IDENTITY=" + identity.id().hex()})
        CHECK_MESSAGE(environment.find(line + "\n") != environment.npos, line);
    bench.stop(instance);
    CHECK(bench.containers() == 0);
    CHECK(bench.await(bench.backend().wait(instance)).text() == "stopped");
    const auto gone = bench.await(bench.backend().open(instance, {}));
    CHECK((!gone && gone.error() == Errc::instance_gone));
}

TEST_CASE("an instance that ends by itself is noticed at once, with its exit code and last output")
{
    auto options = Bench::options();
    options.command = {"sh", "-c", "for i in $(busybox seq 30); do echo line $i; done; nc -l -p 9000 -e true; exit 7"};
    Bench bench(options);
    const auto instance = bench.start();
    auto stream = bench.open(instance);
    const auto exit = bench.end_of(instance);
    CHECK(exit.starts_with("exit code 7\n"));
    CHECK(exit.find("line 30") != exit.npos);
    CHECK(exit.find("line 11\n") != exit.npos);
    CHECK(exit.find("line 10\n") == exit.npos);
    bench.stop(instance);
    CHECK(bench.containers() == 0);
}

TEST_CASE("a failed start names exit code, output and exposed ports, and leaves nothing behind")
{
    auto options = Bench::options();
    options.command = {"sh", "-c", "echo starting; touch /etc/state"};
    Bench bench(options);
    std::string why;
    const auto instance = bench.try_start(InstanceRequest("svc"));
    if (instance)
        why = bench.end_of(*instance);
    else
        why = instance.error().text();
    for (const auto* part :
         {"exit code 1", "starting", "Read-only file system", "exposes 9000/tcp", "port 9000", "/tmp"})
        CHECK_MESSAGE(why.find(part) != why.npos, part << " in: " << why);
    if (instance)
        bench.stop(*instance);
    CHECK(bench.containers() == 0);
}

TEST_CASE("a program that cannot be run fails the start and leaves nothing behind")
{
    auto options = Bench::options();
    options.command = {"/no/such/program"};
    Bench bench(options);
    const auto instance = bench.try_start(InstanceRequest("svc"));
    if (instance) {  // the init process inside starts, and then finds no program
        const auto why = bench.end_of(*instance);
        CHECK_MESSAGE(why.find("/no/such/program") != why.npos, why);
        bench.stop(*instance);
    } else {
        CHECK(instance.error().text().find("/no/such/program") != std::string::npos);
    }
    CHECK(bench.containers() == 0);
}

TEST_CASE("a start that fails for want of permission names the user option")
{
    auto options = Bench::options();
    options.command = {"sh", "-c", "sleep 1; busybox chroot /"};
    Bench bench(options);
    const auto instance = bench.start();
    const auto why = bench.end_of(instance);
    CHECK_MESSAGE((why.find("not permitted") != why.npos && why.find("--user") != why.npos), why);
}

TEST_CASE("an instance that does not listen yet is not ready, and says what it does instead")
{
    auto options = Bench::options();
    options.command = {"sh", "-c", "echo busy; sleep 60"};
    Bench bench(options);
    const auto instance = bench.start();
    const auto stream = bench.await(bench.backend().open(instance, {}));
    CHECK((!stream && stream.error() == Errc::not_ready));
    bench.until([&] {
        const auto text = bench.await(bench.backend().diagnose(instance));
        return text.find("busy") != text.npos && text.find("9000/tcp") != text.npos;
    });
}

TEST_CASE("an instance that ignores the stop signal is killed after the grace time")
{
    auto options = Bench::options();
    options.command = {"sh", "-c", "trap '' TERM; nc -ll -p 9000 -e sh"};
    options.stop_grace = 300ms;
    Bench bench(options);
    const auto instance = bench.start();
    bench.open(instance).close();
    const auto begin = std::chrono::steady_clock::now();
    bench.stop(instance);
    CHECK(std::chrono::steady_clock::now() - begin >= 300ms);
    CHECK(bench.containers() == 0);
}

TEST_CASE("many instances start side by side, each with its own")
{
    Bench bench(Bench::options());
    std::vector<instancer::Instance> instances;
    for (int i = 0; i < 12; ++i)
        bench.begin_start(Bench::identity(std::to_string(i)), instances);
    bench.until([&] { return instances.size() == 12; });
    for (const auto& instance : instances)
        CHECK(bench.inside(instance, "echo mine >>/tmp/mark; cat /tmp/mark") == "mine\n");
}

TEST_CASE("preparing says what is missing and what to do")
{
    const auto problem = [](const std::function<void(DockerOptions&)>& change) {
        auto options = Bench::options();
        change(options);
        Bench bench(options);
        const auto done = bench.await(bench.backend().prepare());
        REQUIRE(!done);
        return done.error().text();
    };
    const auto has = [](const std::string& text, const std::string& part) { return text.find(part) != text.npos; };

    const auto image = problem([](auto& options) {
        options.image = "instancer-no-such-image";
        options.pull = instancer::DockerPull::never;
    });
    CHECK((has(image, "docker build") && has(image, "docker load")));

    const auto pulled = problem([](auto& options) { options.image = "localhost:1/instancer-no-such-image"; });
    CHECK_MESSAGE((has(pulled, "docker build") && has(pulled, "pulling it failed")), pulled);

    make_image("instancer-test-ports", {"EXPOSE 1 2"});
    const auto ports = problem([](auto& options) { options.image = "instancer-test-ports"; });
    CHECK_MESSAGE((has(ports, "--port") && has(ports, "1/tcp 2/tcp")), ports);

    const auto engine = problem([](auto& options) { options.engine = "unix:///tmp/no-such-engine.sock"; });
    CHECK_MESSAGE((has(engine, "/tmp/no-such-engine.sock") && has(engine, "No such file")), engine);

    CHECK(has(problem([](auto& options) { options.engine = "tcp://192.0.2.1:2375"; }), "Unix socket"));
    CHECK(has(problem([](auto& options) { options.runtime = "no-such-runtime"; }), "no-such-runtime"));
    CHECK(has(problem([](auto& options) { options.daemon = "a.b"; }), "a.b"));
    CHECK(has(problem([](auto& options) { options.limits.memory = 1024; }), "memory limit"));
    CHECK(has(problem([](auto& options) { options.mounts.emplace_back("/no/such/folder", "/data"); }),
              "/no/such/folder"));
    for (const auto* source : {"/var/run/docker.sock", "/var/run", "/run/docker.sock", "/"})
        CHECK(has(problem([&](auto& options) { options.mounts.emplace_back(source, "/data"); }), "socket"));
}

TEST_CASE("after a crash running instances are taken over, the rest goes, and nobody else's is touched")
{
    const auto options = Bench::options();
    Engine engine;
    const json foreign = {{"Image", shell_image},
                          {"Labels", {{"instancer.daemon", "other"}, {"instancer.service", "svc"}}}};
    const auto name = options.daemon + "-foreign";
    engine.call("POST", "/containers/create?name=" + name, foreign.dump());
    REQUIRE(engine.status() == 201);

    Bench first(options);
    const auto mine = first.start("me");
    CHECK(first.inside(mine, "echo kept >/tmp/mark") == "");
    const auto warm = first.try_start(InstanceRequest("svc"));
    const auto claimed = first.try_start(InstanceRequest("svc"));
    REQUIRE((warm && claimed));
    REQUIRE(first.await(first.backend().assign(*claimed, Bench::identity("claimer"))));
    const instancer::Identity unique({}, {}, false);
    REQUIRE(first.try_start({"svc", unique, {}}));
    const auto dead = first.start("dead");
    engine.call("POST", "/containers/" + dead.name() + "/kill");
    CHECK(first.containers() == 5);
    first.crash();

    Bench second(options);
    const auto found = second.await(second.backend().recover("svc"));
    REQUIRE(found);
    CHECK(second.containers() == 2);
    REQUIRE(found->size() == 2);
    for (const auto& leftover : *found) {
        CHECK(leftover.age() < 60s);
        const bool is_mine = leftover.identity().id() == Bench::identity("me").id();
        CHECK((is_mine || leftover.identity().id() == Bench::identity("claimer").id()));
        CHECK(second.inside(leftover.instance(), "cat /tmp/mark 2>/dev/null") == (is_mine ? "kept\n" : ""));
    }
    // Its end is noticed like that of any other instance.
    engine.call("POST", "/containers/" + (*found)[0].instance().name() + "/kill");
    CHECK(second.await(second.backend().wait((*found)[0].instance())).text().starts_with("exit code 137"));
    second.stop((*found)[0].instance());
    second.crash();

    auto changed = options;
    changed.limits.pids = 32;
    Bench third(changed);
    const auto none = third.await(third.backend().recover("svc"));
    CHECK((none && none->empty()));
    CHECK(third.containers() == 0);

    engine.inspect(name);
    CHECK(engine.status() == 200);
    engine.call("DELETE", "/containers/" + name + "?force=1&v=1");
}

TEST_CASE("what a crash left of a service goes with the service, and not before")
{
    auto options = Bench::options();
    Bench old(options, "old");
    old.start();
    old.crash();
    for (const bool served : {true, false}) {
        options.services = {"svc"};
        if (served)
            options.services.emplace_back("old");
        Bench bench(options);
        const auto found = bench.await(bench.backend().recover("svc"));
        CHECK((found && found->empty()));
        CHECK(bench.containers() == (served ? 1 : 0));
    }
}

TEST_CASE("what somebody made from the image of an instance bears its labels, and stays")
{
    const auto options = Bench::options();
    Bench first(options);
    const auto instance = first.start();
    Engine engine;
    engine.call("POST", "/commit?container=" + instance.name() + "&repo=instancer-test-evidence", "{}");
    REQUIRE(engine.status() == 201);
    const auto evidence = options.daemon + "-evidence";
    engine.call("POST", "/containers/create?name=" + evidence, R"({"Image": "instancer-test-evidence"})");
    REQUIRE(engine.status() == 201);
    REQUIRE(first.containers() == 2);
    first.crash();

    Bench second(options);
    const auto found = second.await(second.backend().recover("svc"));
    REQUIRE((found && found->size() == 1));
    second.stop((*found)[0].instance());
    engine.inspect(evidence);
    CHECK(engine.status() == 200);
    remove_containers(options.daemon);
    engine.call("DELETE", "/images/instancer-test-evidence");
}

TEST_CASE("an image that is built again is used for new instances, as the user that it now calls for")
{
    const std::string image = "instancer-test-rebuilt";
    const auto build = [&](const std::vector<std::string>& more) {
        auto changes = shell_changes;
        changes.insert(changes.end(), more.begin(), more.end());
        make_image(image, changes);
    };
    build({"USER 1000"});
    auto options = Bench::options();
    options.image = image;
    Bench bench(options);
    const auto before = bench.start("before");
    CHECK(bench.inside(before, "id -u") == "1000\n");

    build({"USER root"});
    CHECK(bench.inside(bench.start("after"), "id -u") == "65534\n");
    REQUIRE(bench.events.all("notice").size() == 1);
    CHECK(bench.events.all("notice")[0].find(image) != std::string::npos);
    CHECK(bench.inside(before, "id -u") == "1000\n");

    // One that cannot be used leaves the last one in its place.
    build({"EXPOSE 9001"});
    for (const auto* owner : {"one", "two"})
        CHECK(bench.inside(bench.start(owner), "id -u") == "65534\n");
    REQUIRE(bench.events.all("warning").size() == 1);
    CHECK(bench.events.all("warning")[0].find("--port") != std::string::npos);
    CHECK(bench.events.all("notice").size() == 1);
}

TEST_CASE("an instance of a previous run stays its owner's while the engine cannot tell where it is")
{
    auto options = Bench::options();
    Bench first(options);
    CHECK(first.inside(first.start("me"), "echo kept >/tmp/mark") == "");
    first.crash();

    EngineProxy engine;
    auto answer = EngineProxy::Answer::error;
    SUBCASE("by an error") {}
    SUBCASE("by a broken connection") { answer = EngineProxy::Answer::hang_up; }
    std::atomic<int> asked = 0;
    engine.obey([&](const std::string& request) {
        const bool inspection = request.starts_with("GET ") && request.find("/containers/") != request.npos &&
                                request.find("/json ") != request.npos && request.find(".claim/") == request.npos;
        return inspection && ++asked <= 3 ? answer : EngineProxy::Answer::pass;
    });
    options.engine = engine.address();
    Bench second(options);
    const auto found = second.await(second.backend().recover("svc"));
    REQUIRE((found && found->size() == 1));
    CHECK(second.events.all("warning").size() == 1);
    CHECK(second.inside((*found)[0].instance(), "cat /tmp/mark") == "kept\n");
    CHECK(asked > 3);
    CHECK(second.events.all("notice").size() == 1);
    second.stop((*found)[0].instance());
    CHECK(second.containers() == 0);
    second.crash();
    // The proxy does not wait for that.
    remove_containers(options.daemon);
}
