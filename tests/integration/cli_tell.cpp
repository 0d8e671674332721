// SPDX-License-Identifier: MIT
// Clients that are told why they wait, are refused or are about to lose their instance, where a service does so.
#include <optional>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <forward.hpp>
#include <raw_client.hpp>
#include <service.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

Words echo(const Words& options)
{
    Words words = {"exec", "--listen", "127.0.0.1:0"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// Sends and gets an answer, so that its instance runs.
bool is_served(RawClient& client) { return client.send("echo") && client.receive(4) == "echo"; }

}  // namespace

TEST_CASE("tell: a client that finds everything taken reads why, though it goes on sending")
{
    Daemon daemon(echo({"--max-instances", "1", "--tell"}));
    RawClient first(daemon.port());
    REQUIRE(is_served(first));
    for (int i = 0; i < 20; ++i) {
        RawClient client(daemon.port());
        client.send("GET / HTTP/1.0\r\n\r\n");
        REQUIRE(daemon.wait_for_line("session ended: refused", static_cast<std::size_t>(i) + 1) != "");
        CHECK(client.send("what comes too late"));
        CHECK(client.send("and later still"));
        CHECK(client.receive_all() == "all places are taken; come back later\n");
        CHECK(client.ended_in_order());
    }
}

TEST_CASE("tell: without it nobody gets a byte")
{
    Daemon daemon(echo({"--max-instances", "1", "--when-full", "queue", "--queue-timeout", "300ms"}));
    RawClient first(daemon.port());
    REQUIRE(is_served(first));
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
}

TEST_CASE("tell: clients in the queue hear their place as it changes, and then they are served")
{
    Daemon daemon(echo({"--max-instances", "1", "--when-full", "queue", "--tell"}));
    std::optional<RawClient> first(daemon.port());
    REQUIRE(is_served(*first));
    RawClient second(daemon.port());
    CHECK(second.receive_line() == "queue: 1 of 1");
    RawClient third(daemon.port());
    CHECK(third.receive_line() == "queue: 2 of 2");
    CHECK(second.receive_line() == "queue: 1 of 2");
    first.reset();
    CHECK(is_served(second));
    CHECK(third.receive_line() == "queue: 1 of 1");
    second.reset();
    CHECK(is_served(third));
}

TEST_CASE("tell: a client whose socket its program gets hears its place before, and nothing of us from then on")
{
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--io", "socket", "--max-instances", "1", "--when-full", "queue",
                   "--tell", "--", "/bin/cat"});
    std::optional<RawClient> first(daemon.port());
    REQUIRE(is_served(*first));
    RawClient second(daemon.port());
    CHECK(second.receive_line() == "queue: 1 of 1");
    RawClient third(daemon.port());
    CHECK(third.receive_line() == "queue: 2 of 2");
    CHECK(second.receive_line() == "queue: 1 of 2");
    first.reset();
    CHECK(is_served(second));
    CHECK(third.receive_line() == "queue: 1 of 1");
    CHECK(is_served(second));
}

TEST_CASE("tell: clients that wait for a server of a list hear their place, and then the server")
{
    const Named server("hello");
    Daemon daemon(forward(server.address(), {"--max-per-upstream", "1", "--tell"}));
    std::optional<RawClient> first(daemon.port());
    REQUIRE(first->receive_line() == "hello");
    RawClient second(daemon.port());
    CHECK(second.receive_line() == "queue: 1 of 1");
    std::optional<RawClient> third(daemon.port());
    CHECK(third->receive_line() == "queue: 2 of 2");
    CHECK(second.receive_line() == "queue: 1 of 2");
    RawClient fourth(daemon.port());
    CHECK(fourth.receive_line() == "queue: 3 of 3");
    third->reset();
    CHECK(fourth.receive_line() == "queue: 2 of 2");
    first.reset();
    CHECK(second.receive_line() == "queue: 1 of 3");
    CHECK(second.receive_line() == "queue: 1 of 2");
    CHECK(second.receive_line() == "hello");
    CHECK(is_served(second));
    CHECK(fourth.receive_line() == "queue: 1 of 1");
}

TEST_CASE("tell: without it who waits for a server gets no byte")
{
    const Named server("hello");
    Daemon daemon(forward(server.address(), {"--max-per-upstream", "1"}));
    std::optional<RawClient> first(daemon.port());
    REQUIRE(first->receive_line() == "hello");
    RawClient second(daemon.port());
    REQUIRE(service_test::eventually([&] {
        daemon.signal(SIGUSR1);
        return daemon.count("1 client waits for an upstream") > 0;
    }));
    first.reset();
    CHECK(second.receive_line() == "hello");
}

TEST_CASE("tell: a queue that does not move, in the operator's own words")
{
    Daemon daemon(echo({"--max-instances", "1", "--when-full", "queue", "--queue-timeout", "300ms", "--tell",
                        "--tell-text", "queued=before you: {position}", "--tell-text", "late=nobody left\\r"}));
    RawClient first(daemon.port());
    REQUIRE(is_served(first));
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "before you: 1\nnobody left\r\n");
    CHECK(client.ended_in_order());
}

TEST_CASE("tell: a program that gets its client's socket, and one that cannot be started")
{
    Daemon daemon(
        {"exec", "--listen", "127.0.0.1:0", "--io", "socket", "--max-instances", "1", "--tell", "--", "/bin/cat"});
    RawClient first(daemon.port());
    REQUIRE(is_served(first));
    RawClient client(daemon.port());
    CHECK(client.receive_all() == "all places are taken; come back later\n");
    CHECK(client.ended_in_order());

    Daemon failing({"exec", "--listen", "127.0.0.1:0", "--io", "port", "--tell", "--", "/bin/false"});
    RawClient refused(failing.port());
    CHECK(refused.receive_all() == "no instance can be started; come back in a while\n");
    CHECK(refused.ended_in_order());
}

TEST_CASE("warn: a line comes before silence ends the instance, and what is typed then puts that off")
{
    Daemon daemon(echo({"--idle", "1200ms", "--warn-before", "1s"}));
    RawClient client(daemon.port());
    for (int i = 0; i < 2; ++i) {
        REQUIRE(is_served(client));
        CHECK(client.receive_line() == "this session ends in 1s, unless something passes before");
    }
    CHECK(client.receive_all() == "");
    CHECK(daemon.wait_for_line("session ended: idle") != "");
}

TEST_CASE("warn: a line comes before the daemon ends the session at its own end")
{
    Daemon daemon(echo({"--drain-timeout", "1s", "--warn-before", "1m"}));
    RawClient client(daemon.port());
    REQUIRE(is_served(client));
    daemon.signal(SIGTERM);
    CHECK(client.receive_line() == "this session ends in 1s");
    CHECK(client.receive_all() == "");
}

TEST_CASE("warn: a line comes into the session before the time of its instance is over")
{
    Daemon daemon(echo({"--ttl", "2500ms", "--warn-before", "2s", "--tell-text", "warning=-- {wait} left --"}));
    RawClient client(daemon.port());
    REQUIRE(is_served(client));
    CHECK(client.receive_line() == "-- 2s left --");
    CHECK(is_served(client));
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());
}
