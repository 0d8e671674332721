// SPDX-License-Identifier: MIT
// What the log says in JSON.
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using Json = nlohmann::json;

namespace {

/// Sends a line and ends; what comes back.
std::string talk(RawClient client, const std::string& line)
{
    client.send(line + "\n");
    client.half_close();
    return client.receive_all();
}

}  // namespace

TEST_CASE("log: in JSON the event, the reason, its detail and the owner's label are fields of their own")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens", "red\tTeam Red\n"), path = directory.path("s");
    Child daemon(instancerd(exec(
        {"--listen", "unix:" + path, "--auth", "prompt", "--tokens", tokens, "--linger", "0", "--log-format", "json"},
        {"/bin/sh", "-c", "read line; echo oops >&2; exit 3"})));
    REQUIRE(daemon.wait_for_line(R"("event":"listening")") != "");
    CHECK(talk(RawClient(path), "red\nx") == "token: ");
    const auto session = Json::parse(daemon.wait_for_line(R"("event":"session_ended")"));
    CHECK(session["message"] == "session ended: " + session["reason"].get<std::string>());
    CHECK(session["session"] == 1);
    CHECK(session["label"] == "Team Red");
    CHECK(session["owner"].get<std::string>().size() == 32);
    const auto instance = Json::parse(daemon.wait_for_line(R"("event":"instance_ended")"));
    CHECK(instance["reason"] == "exited");
    CHECK(instance["detail"] == "exit code 3");
    CHECK(instance["message"] == "instance ended: exited: exit code 3");
    CHECK(instance["owner"] == session["owner"]);
    CHECK(instance["label"] == "Team Red");
    CHECK(Json::parse(daemon.wait_for_line(R"("event":"instance_started")"))["instance"] == instance["instance"]);
    CHECK(Json::parse(daemon.wait_for_line(R"("event":"output")"))["message"] == "| oops");

    CHECK(talk(RawClient(path), "blue") == "token: unknown token\n");
    const auto rejected = Json::parse(daemon.wait_for_line(R"("reason":"rejected")"));
    CHECK(rejected["session"] == 2);
    CHECK(rejected["message"] == "session ended: rejected: " + rejected["detail"].get<std::string>());
    CHECK_FALSE(rejected.contains("label"));
}
