// SPDX-License-Identifier: MIT
// What a pool tells of an instance, and who gets the connection that proved it ready.
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/pool/instance_record.hpp>
#include <instancer/socket_stream.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"
#include "socket_pair.hpp"

using namespace async_test;
using namespace instancer;
using detail::InstanceRecord;

namespace {

class Fixture {
public:
    Loop loop;
    InstanceRecord record{loop.executor(), SlotId(3, 1)};
};

}  // namespace

TEST_CASE("instance record: how far the instance has come, in a word")
{
    Fixture fixture;
    auto& record = fixture.record;
    CHECK(record.info().state == "starting");
    record.ready = true;
    CHECK(record.info().state == "warm");
    record.owner = "ann";
    CHECK(record.info().state == "running");
    record.request_stop(InstanceEnd::expired);
    CHECK(record.info().state == "stopping");
}

TEST_CASE("instance record: what an operator sees")
{
    Fixture fixture;
    auto& record = fixture.record;
    record.owner = "ann";
    record.usage->up(5);
    record.usage->down(7);
    record.sessions.add([](InstanceEnd) {});
    const auto info = record.info();
    CHECK(info.id == SlotId(3, 1).key());
    CHECK(info.owner == "ann");
    CHECK(info.clients == 1);
    CHECK(info.bytes_up == 5);
    CHECK(info.bytes_down == 7);
    CHECK(info.age >= 0s);
    CHECK(info.age < 1h);
    CHECK(!info.time_left);
}

TEST_CASE("instance record: an end is explained unless it was in order")
{
    const auto explained = [](InstanceEnd end, bool requested) {
        Fixture fixture;
        auto& record = fixture.record;
        if (requested)
            record.request_stop(end);
        record.end = end;
        record.detail = "why";
        const auto summary = record.summary("service");
        CHECK(summary.service == "service");
        CHECK(summary.end == end);
        return summary.detail == "why";
    };
    for (const auto end : {InstanceEnd::abandoned, InstanceEnd::expired, InstanceEnd::idle, InstanceEnd::unused,
                           InstanceEnd::reset, InstanceEnd::stopped}) {
        CAPTURE(to_string(end));
        CHECK(!explained(end, true));
    }
    for (const auto end :
         {InstanceEnd::exited, InstanceEnd::start_failed, InstanceEnd::start_timeout, InstanceEnd::culled}) {
        CAPTURE(to_string(end));
        CHECK(explained(end, true));
    }
    CHECK(explained(InstanceEnd::exited, false));
}

TEST_CASE("instance record: of one that made room for another it is said whether it had clients")
{
    Fixture fixture;
    auto& record = fixture.record;
    record.detail = "old";
    record.ready = true;
    SUBCASE("none")
    {
        record.request_stop(InstanceEnd::culled);
        CHECK(record.summary("").detail == "it had no client");
    }
    SUBCASE("one")
    {
        record.sessions.add([](InstanceEnd) {});
        record.request_stop(InstanceEnd::culled);
        CHECK(record.summary("").detail == "");
    }
}

TEST_CASE("instance record: whatever has it end wakes who waits for that")
{
    Fixture fixture;
    auto& record = fixture.record;
    bool woken = false;
    record.wake.async_wait([&](const asio::error_code&) { woken = true; });
    fixture.loop.settle();
    CHECK(!woken);
    SUBCASE("a stop") { record.request_stop(InstanceEnd::stopped); }
    SUBCASE("no more time")
    {
        record.hurry();
        CHECK(record.hurried);
    }
    fixture.loop.settle();
    CHECK(woken);
}

TEST_CASE("instance record: its sessions are told of its end once; those that have left are not")
{
    Fixture fixture;
    auto& record = fixture.record;
    std::vector<std::string> told;
    const auto add = [&](const std::string& name) {
        return record.sessions.add(
            [&told, name](InstanceEnd end) { told.push_back(name + ": " + std::string(to_string(end))); });
    };
    add("ann");
    record.sessions.erase(add("bob"));
    record.revoke(InstanceEnd::expired);
    record.revoke(InstanceEnd::stopped);
    CHECK(told == std::vector<std::string>{"ann: expired"});
}

TEST_CASE("instance record: the first connection is for one client")
{
    Fixture fixture;
    test::FakePeer peer(fixture.loop.executor());
    fixture.record.first = peer.take_stream();
    CHECK(fixture.record.take_first(fixture.loop.executor()));
    CHECK(!fixture.record.take_first(fixture.loop.executor()));
}

TEST_CASE("instance record: a connection that waited for its client and was closed meanwhile is of no use")
{
    Fixture fixture;
    auto& record = fixture.record;
    auto [near, far] = socket_pair::unix_domain();
    record.first = make_socket_stream(fixture.loop.executor(), std::move(near));
    bool is_useful = true;
    SUBCASE("open") { record.warm = true; }
    SUBCASE("closed")
    {
        record.warm = true;
        far.reset();
        is_useful = false;
    }
    // What its server said last is for the client who made it start.
    SUBCASE("closed, but nobody let it wait") { far.reset(); }
    CHECK(static_cast<bool>(record.take_first(fixture.loop.executor())) == is_useful);
}

TEST_CASE("instance record: sessions that want to know are warned once of each end, until they are removed")
{
    Fixture fixture;
    auto& record = fixture.record;
    int warnings = 0;
    AcquireRequest curious(Identity("service", "ann", ""), ClientInfo()), other(curious.identity(), ClientInfo());
    const ComingEnd end(InstanceRecord::Clock::now() + 1h), sooner(end.time - 1s, true);
    curious.on_warning([&](const ComingEnd& told) {
        CHECK(told.time == (told.by_silence ? sooner : end).time);
        ++warnings;
    });
    const auto session = record.add_session(curious);
    record.add_session(other);
    CHECK(record.info().clients == 2);
    record.warn(end);
    record.warn(end);
    CHECK(warnings == 1);
    record.warn(sooner);
    CHECK(warnings == 2);
    record.remove_session(session);
    record.warn(end);
    CHECK(warnings == 2);
    CHECK(record.info().clients == 1);
}
