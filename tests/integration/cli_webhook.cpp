// SPDX-License-Identifier: MIT
// Clients of whom a web server says who they are: a webhook, CTFd, rCTF; and what they meet while it does not.
#include <atomic>
#include <deque>
#include <future>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <instancer/identity.hpp>

#include <daemon.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>
#include <web_server.hpp>

using namespace daemon_test;
using namespace std::chrono_literals;

namespace {

using Words = std::vector<std::string>;

/// An instancerd whose instances greet, and echo.
Words serving(const std::string& way, const std::string& url, const Words& options = {}, const std::string& prompt = {})
{
    Words words = {"exec", "--listen", "127.0.0.1:0", "--auth", way, "--auth-url", url, "--prompt", prompt};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/sh", "-c", "echo hello; exec /bin/cat"});
    return words;
}

/// Admits `red`, rejects `blue`, and is in trouble with all others.
WebAnswer judge(const WebQuestion& question)
{
    const auto typed = nlohmann::json::parse(question.body).at("typed");
    if (typed == "red")
        return WebAnswer(200, R"({"owner":"team red","identifier":"2"})");
    return typed == "blue" ? WebAnswer(403, "") : WebAnswer(500, "");
}

bool enters(const Daemon& daemon, const std::string& line, const std::string& from = "127.0.0.1")
{
    RawClient client(daemon.port(), from);
    return client.send(line + "\n") && client.receive(5) == "hello";
}

std::string hash_of(const std::string& owner) { return instancer::Identity("exec", owner, "").owner().hex(); }

}  // namespace

TEST_CASE("auth webhook: it is asked about what was typed, and says whose the client is")
{
    std::optional<WebQuestion> seen;
    WebServer server([&](const WebQuestion& question) {
        seen = question;
        return judge(question);
    });
    Daemon daemon(serving("webhook", server.url("/who?x=1"), {}, "who? "));
    RawClient red(daemon.port());
    CHECK(red.receive(5) == "who? ");
    CHECK(red.send("red\nmore"));
    CHECK(red.receive_line() == "hello");
    CHECK(red.receive(4) == "more");
    CHECK(daemon.wait_for_line("instance started owner=" + hash_of("team red")) != "");
    CHECK(server.asked() == 1);
    REQUIRE(seen);
    CHECK(seen->method == "POST");
    CHECK(seen->path == "/who");
    CHECK(seen->content_type == "application/json");
    CHECK(nlohmann::json::parse(seen->body) ==
          nlohmann::json{
              {"service", "exec"}, {"client", "127.0.0.1:" + std::to_string(red.local_port())}, {"typed", "red"}});

    RawClient blue(daemon.port());
    CHECK(blue.send("blue\n"));
    CHECK(blue.receive_all() == "who? unknown token\n");
    CHECK_FALSE(blue.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: rejected: authentication: a token that " + server.url() +
                               " does not know") != "");

    RawClient other(daemon.port());
    CHECK(other.send("green\n"));
    CHECK(other.receive_all() == "who? nobody can check tokens now; try again later\n");
    CHECK_FALSE(other.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: backend unavailable: authentication: " + server.url() +
                               " cannot say who it is: it answered 500") != "");
    CHECK(daemon.log().find("green") == std::string::npos);
}

TEST_CASE("auth webhook: only who was admitted is remembered, and for as long as that is asked for")
{
    WebServer server(judge);
    SUBCASE("remembered")
    {
        Daemon daemon(serving("webhook", server.url(), {"--auth-url-cache", "1m"}));
        CHECK(enters(daemon, "red"));
        CHECK(enters(daemon, "red"));
        CHECK(server.asked() == 1);
        CHECK_FALSE(enters(daemon, "blue"));
        CHECK_FALSE(enters(daemon, "blue"));
        CHECK(server.asked() == 3);
    }
    SUBCASE("not remembered")
    {
        Daemon daemon(serving("webhook", server.url()));
        CHECK(enters(daemon, "red"));
        CHECK(enters(daemon, "red"));
        CHECK(server.asked() == 2);
    }
}

TEST_CASE("auth webhook: clients that wait for an answer about the same token do not ask again")
{
    constexpr std::size_t at_once = 8;
    std::counting_semaphore<> calls(0);
    std::promise<void> all_wait;
    const auto answer = all_wait.get_future().share();
    WebServer server([&](const WebQuestion& question) {
        calls.release();
        answer.wait();
        return judge(question);
    });
    Daemon daemon(serving("webhook", server.url(), {"--auth-url-cache", "1m", "--max-per-owner", "16"}));
    std::deque<RawClient> clients;
    for (std::size_t i = 0; i < 2 * at_once; ++i) {
        clients.emplace_back(daemon.port());
        CHECK(clients.back().send("red\n"));
    }
    for (std::size_t i = 0; i < at_once; ++i)
        CHECK(calls.try_acquire_for(10s));
    all_wait.set_value();
    for (auto& client : clients)
        CHECK(client.receive(5) == "hello");
    CHECK(server.asked() == at_once);
}

TEST_CASE("auth webhook: while it is down, all are refused, or those are admitted whom it has admitted")
{
    std::atomic<bool> down = false;
    WebServer server([&](const WebQuestion& question) { return down ? WebAnswer(503, "") : judge(question); });
    const auto fail_until_given_up = [&](const Daemon& daemon) {
        for (int i = 0; i < 5; ++i)
            CHECK_FALSE(enters(daemon, "stranger", "127.0.0." + std::to_string(10 + i)));
    };
    SUBCASE("refuse")
    {
        Daemon daemon(serving("webhook", server.url(), {"--auth-url-down", "refuse"}));
        CHECK(enters(daemon, "red"));
        down = true;
        CHECK_FALSE(enters(daemon, "red"));
        fail_until_given_up(daemon);
        CHECK(daemon.wait_for_line(server.url() + " cannot say who clients are: it answered 503; all are refused until "
                                                  "it can") != "");
    }
    SUBCASE("cached")
    {
        Daemon daemon(serving("webhook", server.url(), {"--auth-url-down", "cached"}));
        CHECK(enters(daemon, "red"));
        down = true;
        CHECK(enters(daemon, "red"));
        fail_until_given_up(daemon);
        CHECK(daemon.wait_for_line("it answered 503; clients that it admitted before are admitted until it can") != "");
        const auto asked = server.asked();
        CHECK(enters(daemon, "red"));
        CHECK(server.asked() == asked);
    }
    SUBCASE("and again")
    {
        Daemon daemon(serving("webhook", server.url()));
        down = true;
        fail_until_given_up(daemon);
        down = false;
        CHECK(service_test::eventually([&] { return enters(daemon, "red"); }));
        CHECK(daemon.wait_for_line(server.url() + " says who clients are again") != "");
    }
}

TEST_CASE("auth webhook: what one address types shuts nobody else out")
{
    WebServer server(judge);
    Daemon daemon(serving("webhook", server.url()));
    for (int i = 0; i < 10; ++i)
        CHECK_FALSE(enters(daemon, "stranger", "127.0.0.2"));
    CHECK(enters(daemon, "red"));
    CHECK(daemon.log().find("cannot say who clients are") == std::string::npos);
}

TEST_CASE("auth webhook: requests that the server finds wrong are refused one by one, and others are served")
{
    WebServer server([](const WebQuestion& question) {
        const auto typed = nlohmann::json::parse(question.body).at("typed");
        return typed == "odd" ? WebAnswer(422, "") : judge(question);
    });
    Daemon daemon(serving("webhook", server.url()));
    for (int i = 0; i < 8; ++i)
        CHECK_FALSE(enters(daemon, "odd"));
    CHECK(server.asked() == 8);
    CHECK(daemon.wait_for_line("cannot say who it is: it answered 422") != "");
    CHECK(enters(daemon, "red"));
    CHECK(daemon.log().find("cannot say who clients are") == std::string::npos);
}

TEST_CASE("auth webhook: a call that goes on does not hold up the end of the daemon")
{
    const Listener silent;
    for (const auto* scheme : {"http://", "https://"}) {
        Daemon daemon(serving("webhook", scheme + silent.address(),
                              {"--auth-url-timeout", "1h", "--auth-timeout", "1h", "--drain-timeout", "100ms"}));
        RawClient client(daemon.port());
        CHECK(client.send("red\n"));
        const auto call = silent.accept();
        REQUIRE(call);
        CHECK(daemon.terminate() == 0);
    }
}

TEST_CASE("auth webhook: an answer that does not come, one that is too large, and one from elsewhere are none")
{
    SUBCASE("silent")
    {
        const Listener silent;
        Daemon daemon(serving("webhook", "http://" + silent.address(), {"--auth-url-timeout", "200ms"}));
        CHECK_FALSE(enters(daemon, "red"));
        CHECK(daemon.wait_for_line("cannot say who it is: it did not answer in time") != "");
        CHECK(daemon.terminate() == 0);
    }
    SUBCASE("large")
    {
        WebServer server([](const WebQuestion&) {
            return WebAnswer(200, R"({"owner":"red","x":")" + std::string(70'000, 'x') + "\"}");
        });
        Daemon daemon(serving("webhook", server.url()));
        CHECK_FALSE(enters(daemon, "red"));
        CHECK(daemon.wait_for_line("its answer is larger than 64 KiB") != "");
    }
    SUBCASE("redirected")
    {
        WebServer target(judge);
        WebServer server([&](const WebQuestion&) { return WebAnswer(307, "", target.url()); });
        Daemon daemon(serving("webhook", server.url()));
        CHECK_FALSE(enters(daemon, "red"));
        CHECK(daemon.wait_for_line("it answered 307") != "");
        CHECK(target.asked() == 0);
    }
}

TEST_CASE("auth webhook: its env reaches the instance that is started for the client, and counts for more than --env")
{
    WebServer server([](const WebQuestion& question) {
        const auto typed = nlohmann::json::parse(question.body).at("typed").get<std::string>();
        const nlohmann::json env = {{"TEAM", "team " + typed}, {"LEVEL", "2"}, {"PATH", "/usr/bin:/bin"}};
        return WebAnswer(200, nlohmann::json{{"owner", typed}, {"env", env}}.dump());
    });
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--auth", "webhook", "--auth-url", server.url(),
                   "--auth-url-cache", "1m", "--prompt", "", "--env", "LEVEL=1", "--env", "OTHER=3", "--", "/bin/sh",
                   "-c", "echo $TEAM, $LEVEL $OTHER; env | grep -c -e ^PATH= -e ^LEVEL="});
    for (const auto* team : {"red", "blue", "red"}) {
        RawClient client(daemon.port());
        CHECK(client.send(std::string(team) + "\n"));
        CHECK(client.receive_all() == "team " + std::string(team) + ", 2 3\n2\n");
    }
    CHECK(server.asked() == 2);
    CHECK(daemon.log().find("team red") == std::string::npos);
}

TEST_CASE("auth webhook: a client whose env cannot be given is refused, and the log says why; others are served")
{
    const auto serves_others = [](const std::string& env, const Words& options, const std::string& reason) {
        WebServer server([&](const WebQuestion& question) {
            const auto typed = nlohmann::json::parse(question.body).at("typed");
            return WebAnswer(200, typed == "red" ? R"({"owner":"red","env":)" + env + "}" : R"({"owner":"blue"})");
        });
        Daemon daemon(serving("webhook", server.url(), options));
        for (int i = 0; i < 6; ++i)
            CHECK_FALSE(enters(daemon, "red"));
        CHECK(daemon.wait_for_line("session ended: backend unavailable: authentication: " + server.url() +
                                   " says who it is, but its answer " + reason) != "");
        CHECK(enters(daemon, "blue"));
    };
    serves_others(R"({"INSTANCER_OWNER":"x"})", {}, "sets INSTANCER_OWNER in env, which instancerd itself sets");
    serves_others(R"({"A=B":"secret"})", {}, "has a name in env that no variable can have");
    serves_others(R"({"A":"b"})", {"--warm", "1"}, "has an env, which a warm instance starts without");
}

TEST_CASE("auth webhook: over HTTPS the certificate is verified")
{
    const TemporaryDirectory directory;
    WebServer server(judge, WebServer::Scheme::https);
    const auto certificates = directory.file("ca.pem", server.certificate());
    const auto command = instancerd(serving("webhook", server.url()));
    SUBCASE("known")
    {
        Daemon daemon(command, {"SSL_CERT_FILE=" + certificates}, -1);
        CHECK(enters(daemon, "red"));
    }
    SUBCASE("unknown")
    {
        Daemon daemon(command, {}, -1);
        CHECK_FALSE(enters(daemon, "red"));
        CHECK(daemon.wait_for_line("it cannot be reached: ") != "");
        CHECK(server.asked() == 0);
    }
}

TEST_CASE("auth ctfd: a player's access token leads to the team's instance")
{
    WebServer server([](const WebQuestion& question) {
        if (question.method != "GET" || question.path != "/api/v1/users/me")
            return WebAnswer(404, "");
        if (question.content_type != "application/json")
            return WebAnswer(302, "", "/login");
        for (const auto& [token, id] : {std::pair("ctfd_one", "1"), std::pair("ctfd_two", "2")})
            if (question.authorization == std::string("Token ") + token)
                return WebAnswer(200, R"({"success":true,"data":{"id":)" + std::string(id) +
                                          R"(,"name":"player","team_id":7}})");
        return WebAnswer(401, R"({"message":"Your access token is invalid"})");
    });
    Daemon daemon(serving("ctfd", server.url()));
    CHECK(enters(daemon, "ctfd_one"));
    CHECK(enters(daemon, "ctfd_two second"));
    CHECK(daemon.wait_for_line("instance started owner=" + hash_of("team 7"), 2) != "");
    CHECK_FALSE(enters(daemon, "ctfd_three"));
    CHECK(daemon.wait_for_line("rejected: authentication: a token that " + server.url() + " does not know") != "");
}

TEST_CASE("auth rctf: a team's token leads to its instance, in both versions of the interface")
{
    WebServer server([](const WebQuestion& question) {
        if (question.authorization != "Bearer to+k/en=")
            return WebAnswer(401, R"({"kind":"badToken","message":"The token provided is invalid."})");
        const auto good = [](const std::string& kind) {
            return WebAnswer(200, R"({"kind":")" + kind + R"(","data":{"id":"c0ffee","name":"Red"}})");
        };
        if (question.path == "/api/v1/users/me")
            return good("goodUserSelfData");
        return question.path == "/api/v2/users/me" ? good("goodUserSelfDataV2") : WebAnswer(404, "");
    });
    for (const auto* path : {"", "/api/v2/users/me"}) {
        Daemon daemon(serving("rctf", server.url(path)));
        CHECK(enters(daemon, "to+k/en="));
        CHECK(daemon.wait_for_line("instance started owner=" + hash_of("c0ffee")) != "");
        CHECK_FALSE(enters(daemon, "token"));
    }
}

TEST_CASE("auth webhook: what cannot work, or would tell tokens to everybody on the way, is refused with its remedy")
{
    const auto says = [](const std::string& way, const std::string& url, const std::string& part) {
        auto words = serving(way, url);
        if (url.empty())
            words.erase(words.begin() + 5, words.begin() + 7);
        Child child(instancerd(words));
        CHECK(child.wait() == 2);
        INFO(child.whole_log());
        CHECK(child.whole_log().find(part) != std::string::npos);
    };
    says("webhook", "", "needs to know who says whose a token is; add --auth-url https://HOST/PATH");
    says("ctfd", "ctf.example.org", "--auth-url: is no address of a web server; write https://HOST/PATH");
    says("rctf", "http://ctf.example.org/x",
         "would send what clients type to another machine where everybody on the way can read it, and believe whoever "
         "answers; write https://ctf.example.org/x");
    says("prompt", "https://ctf.example.org", "needs --auth webhook, --auth ctfd or --auth rctf");
}
