// SPDX-License-Identifier: MIT
// From a client's wish to a ready instance, and everything that can go wrong on the way.
#include <doctest/doctest.h>

#include "pool_fixture.hpp"

using namespace pool_fixture;

TEST_CASE("instance pool: an instance is started for its client, who gets the connection that proved it ready")
{
    PoolFixture fixture;
    REQUIRE(fixture.start());
    auto ann = fixture.ask("ann"), again = fixture.ask("ann");
    REQUIRE(ann.served());
    REQUIRE(again.served());
    auto& instance = fixture.instance(1);
    CHECK(ann.lease().instance().name() == instance.name());
    CHECK(again.lease().instance().name() == instance.name());
    CHECK(instance.identity()->id() == identity("ann").id());
    CHECK(instance.client()->to_string() == "192.0.2.1:5000");
    CHECK(instance.connections().size() == 1);

    auto stream = ann.lease().take_stream();
    REQUIRE(stream);
    CHECK_FALSE(ann.lease().take_stream());
    CHECK_FALSE(again.lease().take_stream());
    instance.connections()[0].send("hello");
    CHECK(try_read(stream) == "hello");
    CHECK(fixture.events.lines() == std::vector<std::string>{"started fake 1"});
}

TEST_CASE("instance pool: many who wait for one start are all served, the first with the connection")
{
    PoolFixture fixture;
    fixture.backend.starts.hold();
    std::vector<Asker> askers;
    for (int i = 0; i < 5; ++i)
        askers.push_back(fixture.ask("ann"));
    CHECK(fixture.backend.starts.waiting() == 1);
    fixture.backend.starts.release();
    fixture.loop.settle();
    for (auto& asker : askers)
        REQUIRE(asker.served());
    CHECK(askers[0].lease().take_stream());
    for (std::size_t i = 1; i < askers.size(); ++i)
        CHECK_FALSE(askers[i].lease().take_stream());
    CHECK(fixture.backend.instances().size() == 1);
}

TEST_CASE("instance pool: it connects until the instance accepts")
{
    PoolFixture fixture;
    fixture.backend.opens_to_refuse = 4;
    auto ann = fixture.ask("ann");
    REQUIRE(fixture.loop.until([&] { return ann.answered(); }));
    CHECK(ann.served());
    CHECK(fixture.backend.times_opened() == 5);
    CHECK(fixture.instance(1).connections().size() == 1);
}

TEST_CASE("instance pool: whoever leaves while the instance starts has it stopped, in every stage of the start")
{
    PoolFixture fixture;
    SUBCASE("the backend is starting it")
    {
        fixture.backend.starts.hold();
        auto ann = fixture.ask("ann");
        ann.cancel();
        fixture.loop.settle();
        CHECK(ann.refused(Errc::cancelled));
        fixture.backend.starts.release();
        fixture.loop.settle();
        CHECK(fixture.backend.times_opened() == 0);
    }
    SUBCASE("an attempt to connect gets no answer")
    {
        fixture.backend.opens.hold();
        auto ann = fixture.ask("ann");
        CHECK(fixture.backend.opens.waiting() == 1);
        ann.cancel();
        fixture.loop.settle();
        CHECK(ann.refused(Errc::cancelled));
    }
    SUBCASE("it does not accept yet")
    {
        fixture.backend.opens_to_refuse = 1'000'000;
        auto ann = fixture.ask("ann");
        REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 3; }));
        ann.cancel();
        fixture.loop.settle();
        CHECK(ann.refused(Errc::cancelled));
        CHECK(fixture.backend.times_opened() == 3);
    }
    CHECK(fixture.instance(1).stopped());
    CHECK(fixture.events.lines() == std::vector<std::string>{"started fake 1", "ended fake 1: abandoned"});
    CHECK(fixture.pool.snapshot().empty());
}

TEST_CASE("instance pool: whoever leaves does not spoil the start for another one")
{
    PoolFixture fixture;
    fixture.backend.starts.hold();
    auto ann = fixture.ask("ann"), again = fixture.ask("ann");
    ann.cancel();
    fixture.loop.settle();
    fixture.backend.starts.release();
    fixture.loop.settle();
    CHECK(ann.refused(Errc::cancelled));
    REQUIRE(again.served());
    CHECK(again.lease().take_stream());
}

TEST_CASE("instance pool: whoever leaves in the moment of being served gives the session back")
{
    // Step by step, so that the cancellation meets every moment of it.
    for (int steps = 0; steps < 12; ++steps) {
        CAPTURE(steps);
        auto options = timeless();
        options.linger = 0s;
        PoolFixture fixture(options);
        fixture.backend.starts.hold();
        auto ann = fixture.ask("ann");
        fixture.backend.starts.release();
        for (int i = 0; i < steps; ++i)
            fixture.loop.step();
        ann.cancel();
        fixture.loop.settle();
        REQUIRE(ann.answered());
        if (ann.served())
            ann.leave();
        fixture.loop.settle();
        CHECK(fixture.instance(1).stopped());
    }
}

TEST_CASE("instance pool: a start that fails says why, to its clients and to the operator")
{
    PoolFixture fixture;
    SUBCASE("the backend cannot start it")
    {
        fixture.backend.start_error = Error(Errc::bad_request, "no such program");
        auto ann = fixture.ask("ann");
        CHECK(ann.refused(Errc::start_failed));
        CHECK(ann.why().find("no such program") != std::string::npos);
    }
    SUBCASE("the backend is away")
    {
        fixture.backend.start_error = Error(Errc::backend_unavailable, "no such program");
        CHECK(fixture.ask("ann").refused(Errc::backend_unavailable));
    }
    SUBCASE("it ends before it accepts")
    {
        fixture.backend.opens_to_refuse = 1'000'000;
        auto ann = fixture.ask("ann");
        fixture.instance(1).exit("exit code 2: no such program");
        fixture.loop.settle();
        CHECK(ann.refused(Errc::start_failed));
        CHECK(ann.why().find("no such program") != std::string::npos);
        CHECK(fixture.instance(1).stopped());
    }
    REQUIRE(fixture.events.instances().size() == 1);
    CHECK(fixture.events.instances()[0].end == InstanceEnd::start_failed);
    CHECK(fixture.events.instances()[0].detail.find("no such program") != std::string::npos);
    fixture.backend.start_error.reset();
    fixture.backend.opens_to_refuse = 0;
    CHECK(fixture.ask("ann").served());
}

TEST_CASE("instance pool: a start that takes too long is given up, and the operator learns what the instance said last")
{
    auto options = timeless();
    options.start_timeout = 20ms;
    PoolFixture fixture(options);
    fixture.backend.opens_to_refuse = 1'000'000;
    fixture.backend.explanation = "listening on the wrong port";
    auto ann = fixture.ask("ann");
    REQUIRE(fixture.loop.until([&] { return ann.answered(); }));
    CHECK(ann.refused(Errc::start_timeout));
    REQUIRE(fixture.loop.until([&] { return !fixture.events.instances().empty(); }));
    CHECK(fixture.events.instances()[0].end == InstanceEnd::start_timeout);
    CHECK(fixture.events.instances()[0].detail.find("listening on the wrong port") != std::string::npos);
    CHECK(fixture.instance(1).stopped());
}

TEST_CASE("instance pool: what the backend cannot do at all is known before anybody is served")
{
    PoolFixture fixture;
    SUBCASE("prepare") { fixture.backend.prepare_error = Error(Errc::bad_request, "no such image"); }
    SUBCASE("list") { fixture.backend.list_error = Error(Errc::bad_request, "no such image"); }
    const auto started = fixture.loop.run(fixture.pool.start());
    REQUIRE_FALSE(started);
    CHECK(started.error().message().find("no such image") != std::string::npos);
}

TEST_CASE("instance pool: a backend that takes the client's socket gets it, and is not connected to")
{
    PoolFixture fixture(timeless(), BackendTraits().takes_client_socket(true).single_use(true));
    AcquireRequest request(identity("ann"), ClientInfo());
    request.client_socket().reset(::dup(0));
    const int socket = request.client_socket().get();
    REQUIRE(socket >= 0);
    const auto lease = fixture.loop.run(fixture.pool.acquire(std::move(request)));
    REQUIRE(lease);
    CHECK(fixture.instance(1).client_socket().get() == socket);
    CHECK(fixture.backend.times_opened() == 0);
}

TEST_CASE("instance pool: a request that is only to join an instance starts none")
{
    auto options = timeless();
    SUBCASE("cold") {}
    SUBCASE("warm") { options.warm = 1; }
    PoolFixture fixture(options);
    REQUIRE(fixture.start());
    const auto before = fixture.backend.instances().size();
    const auto join = [&fixture] {
        AcquireRequest request(identity("ann"), ClientInfo());
        request.join_only(true);
        return fixture.loop.run(fixture.pool.acquire(std::move(request)));
    };
    const auto refused = join();
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == Errc::no_instance);
    CHECK(fixture.backend.instances().size() == before);
    auto ann = fixture.ask("ann");
    REQUIRE(ann.served());
    const auto joined = join();
    REQUIRE(joined);
    CHECK(joined->instance().name() == ann.lease().instance().name());
}

TEST_CASE("instance pool: caps of the backend are caps of the pool")
{
    PoolFixture fixture(timeless(), BackendTraits().max_instances(1));
    auto ann = fixture.ask("ann");
    CHECK(ann.served());
    CHECK(fixture.ask("bob").refused(Errc::full));
}

TEST_CASE("instance pool: asked in a coroutine that is cancelled already, it is as if nobody had asked")
{
    PoolFixture fixture;
    auto ann = fixture.ask_cancelled("ann");
    CHECK(ann.refused(Errc::cancelled));
    fixture.loop.settle();
    CHECK(fixture.backend.running() == 0);
}
