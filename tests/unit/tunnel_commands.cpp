// SPDX-License-Identifier: MIT
// What a tunnel's control port answers. Sessions to list and to end are for the tests of the whole daemon.
#include <memory>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <instancer/tunnel/tunnel_server.hpp>

#include "async_test.hpp"
#include "modes/tunnel/tunnel_commands.hpp"

using namespace async_test;
using namespace instancer;
using namespace instancer::daemon;

namespace {

class Fixture {
public:
    std::string answer(std::string line)
    {
        const auto reply = loop.run(commands.obey(std::move(line)));
        CHECK(!reply.is_last());
        return reply.text();
    }

    Loop loop;
    Log log{LogLevel::error, LogFormat::text};
    TunnelUsers users{"tunnel", TunnelFiles(), nullptr, log};
    TunnelServer tunnel{loop.executor(), "tunnel", TunnelServerOptions(), {}, log};
    TunnelCommands commands{"tunnel", tunnel, loop.executor(), users, log};
};

const std::string levels =
    "levels: 10 DEBUG, 20 INFO, 30 WARNING, 40 ERROR, 50 CRITICAL; or 1 ERROR, 2 WARNING, 3 INFO, 4 DEBUG\n"
    "no change made\n";

}  // namespace

TEST_CASE("tunnel commands: what is none is said to be none, and an empty line is nothing")
{
    Fixture fixture;
    CHECK(fixture.answer("") == "");
    CHECK(fixture.answer("  ") == "");
    for (const std::string line : {"help", "set", "set something", "sessions now", "disconnect", "disconnect a b"}) {
        CAPTURE(line);
        CHECK(fixture.answer(line) == "unknown command\n");
    }
}

TEST_CASE("tunnel commands: sessions that there are not")
{
    Fixture fixture;
    CHECK(fixture.answer("sessions") == "tunnel_dict:\n\ntotal sessions: 0\n");
    CHECK(fixture.answer("disconnect 192.0.2.1:5000") == "error: there is no session of '192.0.2.1:5000'\n");
}

TEST_CASE("tunnel commands: without a database nobody has an address to set")
{
    Fixture fixture;
    CHECK(fixture.answer("set userip tom 192.0.2.1") ==
          "error: there is no user database; start the server with one: -d FILE\n");
}

TEST_CASE("tunnel commands: the level of the log, by number or name")
{
    Fixture fixture;
    CHECK(fixture.answer("set loglvl 40") == "set log level to ERROR\n");
    CHECK(fixture.answer("set loglvl 1") == "set log level to ERROR\n");
    for (const std::string line : {"set loglvl", "set loglvl 41", "set loglvl 40 50"}) {
        CAPTURE(line);
        CHECK(fixture.answer(line) == levels);
    }
}
