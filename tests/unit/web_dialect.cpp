// SPDX-License-Identifier: MIT
// What platforms are asked by HTTP, and what their answers mean.
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "authentication/web/admission_cache.hpp"
#include "authentication/web/circuit_breaker.hpp"
#include "authentication/web/web_address.hpp"
#include "authentication/web/web_dialect.hpp"
#include "authentication/web/web_environment.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;

namespace {

const ClientInfo client({asio::ip::make_address("192.0.2.1"), 5000}, {asio::ip::make_address("192.0.2.9"), 1337});

/// `owner/identifier`, `rejected`, or what is wrong.
std::string judged(const WebDialect& dialect, int status, std::string_view body, std::string_view line = "token")
{
    const auto verdict = dialect.judge(status, body, line);
    if (verdict.is_down())
        return "down: " + verdict.why();
    if (verdict.is_undecided())
        return "undecided: " + verdict.why();
    return verdict.admission() ? verdict.admission()->owner() + "/" + verdict.admission()->identifier() : "rejected";
}

Source address(int number)
{
    const asio::ip::tcp::endpoint peer(asio::ip::address_v4(0xc0000201u + static_cast<std::uint32_t>(number)), 1);
    return Source(ClientInfo(peer, {}), 64);
}

std::string address_problem(const std::string& text)
{
    const auto address = parse_web_address(text);
    return address ? "" : address.error();
}

}  // namespace

TEST_CASE("webhook: it is told service, client and line, as JSON")
{
    const auto request = webhook_dialect.ask("/hook", "shell", client, "red \"fox\" 2");
    REQUIRE(request);
    CHECK(request->method == "POST");
    CHECK(request->path == "/hook");
    CHECK(request->headers.at("Content-Type") == "application/json");
    CHECK(nlohmann::json::parse(request->body) ==
          nlohmann::json{{"service", "shell"}, {"client", "192.0.2.1:5000"}, {"typed", "red \"fox\" 2"}});
    CHECK_FALSE(webhook_dialect.ask("/", "shell", client, "\xff\xfe"));
}

TEST_CASE("webhook: it admits by an owner, rejects by 403, and all else is no answer")
{
    const auto says = [](std::string_view body) { return judged(webhook_dialect, 200, body); };
    CHECK(says(R"({"owner":"red"})") == "red/");
    CHECK(says(R"({"owner":"red","identifier":"2","more":[1]})") == "red/2");
    CHECK(says(R"({"owner":"red","identifier":null})") == "red/");
    CHECK(judged(webhook_dialect, 403, R"({"owner":"red"})") == "rejected");
    for (const auto* body : {"", "null", "[]", "{}", R"({"owner":""})", R"({"owner":7})", R"({"owner":"red")",
                             R"(["owner","red"])", "{\"owner\":\"\xff\"}"})
        CHECK(says(body) == "down: its answer is no JSON with an owner");
    for (const int status : {201, 204, 301, 302, 401, 404, 500, 503})
        CHECK(judged(webhook_dialect, status, R"({"owner":"red"})") == "down: it answered " + std::to_string(status));
}

TEST_CASE("webhook, ctfd and rctf: a status about one request is no answer to it, and does not say that all is down")
{
    for (const auto* dialect : {&webhook_dialect, &ctfd_dialect, &rctf_dialect})
        for (const int status : {400, 413, 422, 429})
            CHECK(judged(*dialect, status, R"({"owner":"red"})") == "undecided: it answered " + std::to_string(status));
}

TEST_CASE("webhook: an identifier that is no text would be nobody's, and texts without end are not kept")
{
    const auto why = [](const nlohmann::json& answer) {
        const auto verdict = webhook_dialect.judge(200, answer.dump(), "token");
        CHECK(verdict.is_unusable());
        return verdict.why();
    };
    for (const auto& identifier : {nlohmann::json(2), nlohmann::json::array({"2"}), nlohmann::json(true)})
        CHECK(why({{"owner", "red"}, {"identifier", identifier}}) == "its answer has an identifier that is no text");
    const std::string most(1024, 'x'), more = most + "x";
    CHECK(webhook_dialect.judge(200, nlohmann::json{{"owner", most}, {"identifier", most}}.dump(), "").admission());
    CHECK(why({{"owner", more}}) == "its answer has an owner or identifier of more than 1024 bytes");
    CHECK(why({{"owner", "red"}, {"identifier", more}}) ==
          "its answer has an owner or identifier of more than 1024 bytes");
}

TEST_CASE("webhook: the variables of its env are the instance's, where they can be variables at all")
{
    const auto verdict = [](const nlohmann::json& env) {
        return webhook_dialect.judge(200, nlohmann::json{{"owner", "red"}, {"env", env}}.dump(), "token");
    };
    const auto variables = verdict({{"TEAM", "Red = \n\"1\""}, {"_x2", ""}}).admission().value().environment();
    CHECK(variables == Environment{{"TEAM", "Red = \n\"1\""}, {"_x2", ""}});
    CHECK(verdict(nullptr).admission()->environment().empty());
    CHECK(verdict(nlohmann::json::object()).admission()->environment().empty());

    const auto why = [&](const nlohmann::json& env) {
        const auto unusable = verdict(env);
        CHECK(unusable.is_unusable());
        CHECK_FALSE(unusable.admission());
        return unusable.why();
    };
    for (const auto& env : {nlohmann::json("A=b"), nlohmann::json({"A", "b"}), nlohmann::json(7)})
        CHECK(why(env) == "its answer has an env that is no object of names and values");
    for (const auto* name : {"", "A=B", "1A", "A B", "A-B", "\xc3\xa9", "A\n"})
        CHECK(why({{name, "x"}}) == "its answer has a name in env that no variable can have");
    for (const auto& value : {nlohmann::json(7), nlohmann::json(nullptr), nlohmann::json(std::string("a\0b", 3))})
        CHECK(why({{"A", value}}) == "its answer has a value in env that is no text, or holds a zero byte");
    CHECK(verdict({{"A", std::string(4095, 'x')}}).admission());
    CHECK(why({{"A", std::string(4096, 'x')}}) == "its answer has more than 4096 bytes in env");
    nlohmann::json many;
    for (int i = 0; i < 64; ++i)
        many["A" + std::to_string(i)] = "";
    CHECK(verdict(many).admission());
    many["B"] = "";
    CHECK(why(many) == "its answer has more than 64 variables in env");
}

TEST_CASE("webhook: variables that instancerd itself sets, and any for warm instances, are a problem")
{
    ServiceSettings service("shell", Mode::exec);
    const auto why = [&](const std::string& name) { return problem_with({{"A", "1"}, {name, "2"}}, service); };
    CHECK(problem_with({}, service) == "");
    for (const auto* name : {"B", "INSTANCER", "FLAG", "PORT", "PATH"})
        CHECK(why(name) == "");
    CHECK(why("INSTANCER_ANY") == "sets INSTANCER_ANY in env, which instancerd itself sets");
    service.io = ProcessIo::port;
    CHECK(why("PORT") == "sets PORT in env, which instancerd itself sets");
    service.flags.text = "FLAG{{hmac:32}}";
    CHECK(why("FLAG") == "sets FLAG in env, which instancerd itself sets");
    service.pool.warm = 1;
    CHECK(why("B") == "has an env, which a warm instance starts without; remove that or warm");
    CHECK(problem_with({}, service) == "");
}

TEST_CASE("platforms: they are asked whose the token is, and a line that can be no token is not passed on")
{
    const auto ctfd = ctfd_dialect.ask("/api/v1/users/me", "shell", client, "ctfd_abc 2");
    REQUIRE(ctfd);
    CHECK(ctfd->method == "GET");
    CHECK(ctfd->path == "/api/v1/users/me");
    CHECK(ctfd->headers.at("Authorization") == "Token ctfd_abc");
    CHECK(ctfd->headers.at("Content-Type") == "application/json");
    CHECK(ctfd->body.empty());
    CHECK(rctf_dialect.ask("/", "shell", client, "a+b/c=")->headers.at("Authorization") == "Bearer a+b/c=");
    for (const auto* line : {"", "two words behind", "a\rb", "a\x01", "\xc3\xa9"})
        CHECK_FALSE(rctf_dialect.ask("/", "shell", client, line));
}

TEST_CASE("ctfd: the team is the owner, or the user who has none")
{
    const auto says = [](std::string_view body) { return judged(ctfd_dialect, 200, body, "token 2"); };
    CHECK(says(R"({"success":true,"data":{"id":5,"name":"x","team_id":7}})") == "team 7/2");
    CHECK(says(R"({"success":true,"data":{"id":5,"name":"x","team_id":null}})") == "user 5/2");
    CHECK(says(R"({"success":true,"data":{"id":5}})") == "user 5/2");
    CHECK(says(R"({"success":true,"data":{"id":"5"}})") == "down: its answer names neither a team nor a user");
    for (const auto* body : {R"({"success":false,"data":{"id":5}})", R"({"data":{"id":5}})", R"({"success":true})",
                             R"({"success":true,"data":[5]})", R"({"success":"true","data":{"id":5}})", "{}"})
        CHECK(says(body) == "rejected");
    CHECK(says("<html>log in</html>") == "down: its answer is no JSON");
    CHECK(judged(ctfd_dialect, 401, "{}") == "rejected");
    CHECK(judged(ctfd_dialect, 403, "") == "rejected");
    for (const int status : {302, 404, 500, 502})
        CHECK(judged(ctfd_dialect, status, "{}") == "down: it answered " + std::to_string(status));
}

TEST_CASE("rctf: the id of the team is the owner, in both versions of its interface")
{
    const auto says = [](std::string_view body) { return judged(rctf_dialect, 200, body); };
    CHECK(says(R"({"kind":"goodUserSelfData","data":{"id":"a-b","name":"x"}})") == "a-b/");
    CHECK(says(R"({"kind":"goodUserSelfDataV2","data":{"id":"a-b","name":"x"}})") == "a-b/");
    for (const auto* body : {R"({"kind":"badToken"})", "{}", R"({"kind":["goodUserSelfData"],"data":{"id":"a"}})"})
        CHECK(says(body) == "rejected");
    for (const auto* data : {"", R"(,"data":{})", R"(,"data":{"id":5})", R"(,"data":"id")", R"(,"data":{"id":""})"})
        CHECK(says(R"({"kind":"goodUserSelfData")" + std::string(data) + "}") == "down: its answer names no team");
    CHECK(judged(rctf_dialect, 401, R"({"kind":"badToken"})") == "rejected");
    CHECK(judged(rctf_dialect, 500, "") == "down: it answered 500");
}

TEST_CASE("addresses of web servers: what is loopback, and what is none")
{
    const auto address = parse_web_address("https://ctf.example.org:8443/api?x=1");
    REQUIRE(address);
    CHECK(address->secure);
    CHECK(address->host == "ctf.example.org");
    CHECK(address->origin == "https://ctf.example.org:8443");
    CHECK(address->path == "/api?x=1");
    CHECK(parse_web_address("http://[::1]:80")->host == "::1");
    CHECK(parse_web_address("http://[::1]:80")->path == "");
    for (const auto* near : {"http://127.0.0.1/x", "http://127.8.0.1:80", "https://localhost", "http://[::1]/"})
        CHECK(parse_web_address(near)->is_loopback());
    for (const auto* far : {"http://127.0.0.1.example.org", "http://10.0.0.1/", "http://localhost.example.org:80"})
        CHECK_FALSE(parse_web_address(far)->is_loopback());
    for (const auto* wrong :
         {"", "ctf.example.org", "ftp://x/", "https://", "https:///x", "https://:80/", "https://x:0/",
          "https://x:65536", "https://x:/", "https://u:p@x/", "https://u@x", "https://[::1", "https://[::1]x/",
          "https://x/ y", "https://x?y", "https://x#y", "https://x/#y", "https://x/\xc3\xa9"})
        CHECK_MESSAGE(address_problem(wrong) != "", wrong);
}

TEST_CASE("circuit breaker: after five failures in a row one trial in each pause, which doubles")
{
    CircuitBreaker breaker;
    CircuitBreaker::Clock::time_point now{};
    for (int i = 0; i < 4; ++i) {
        CHECK(breaker.allows(now));
        CHECK_FALSE(breaker.failed(address(i), now));
    }
    CHECK_FALSE(breaker.succeeded());
    for (int i = 0; i < 4; ++i)
        CHECK_FALSE(breaker.failed(address(i), now));
    CHECK(breaker.failed(address(4), now));
    // Others that were under way.
    for (int i = 0; i < 20; ++i)
        CHECK_FALSE(breaker.failed(address(i), now + 500ms));
    CHECK_FALSE(breaker.allows(now + 999ms));
    now += 1s;
    CHECK(breaker.allows(now));
    CHECK_FALSE(breaker.allows(now));
    CHECK_FALSE(breaker.failed(address(0), now));
    CHECK_FALSE(breaker.failed(address(0), now));
    CHECK_FALSE(breaker.allows(now + 1999ms));
    // A trial of which nothing is heard is not the last.
    CHECK(breaker.allows(now + 2s));
    CHECK(breaker.allows(now + 4s));
    CHECK(breaker.succeeded());
    CHECK_FALSE(breaker.succeeded());
    CHECK(breaker.allows(now));
    for (int i = 0; i < 20; ++i) {
        breaker.allows(now);
        breaker.failed(address(i), now);
        now += 30s;
    }
    now -= 30s;
    CHECK_FALSE(breaker.allows(now + 29s));
    CHECK(breaker.allows(now + 30s));
}

TEST_CASE("circuit breaker: one address cannot open it, however often its requests fail")
{
    CircuitBreaker breaker;
    const CircuitBreaker::Clock::time_point now{};
    for (int i = 0; i < 100; ++i)
        CHECK_FALSE(breaker.failed(address(0), now));
    CHECK(breaker.allows(now));
    CHECK_FALSE(breaker.failed(address(1), now));
    CHECK_FALSE(breaker.failed(address(1), now));
    CHECK(breaker.failed(address(2), now));
    CHECK_FALSE(breaker.allows(now));
}

TEST_CASE("admission cache: an admission has its time, a last one beyond that, and the oldest goes first")
{
    AdmissionCache cache(60s);
    const AdmissionCache::Clock::time_point begin{};
    const auto key = [](int number) { return Identity("s", std::to_string(number), "").id(); };
    cache.put(key(1), Admission("red", "2"), begin);
    CHECK(cache.fresh(key(1), begin + 59s)->owner() == "red");
    CHECK(cache.fresh(key(1), begin + 59s)->identifier() == "2");
    CHECK_FALSE(cache.fresh(key(1), begin + 60s));
    CHECK(cache.any(key(1))->owner() == "red");
    CHECK_FALSE(cache.any(key(2)));
    cache.put(key(1), Admission("blue", ""), begin + 60s);
    CHECK(cache.fresh(key(1), begin + 119s)->owner() == "blue");
    cache.forget(key(1));
    CHECK_FALSE(cache.any(key(1)));
    for (int i = 0; i <= static_cast<int>(AdmissionCache::most); ++i)
        cache.put(key(i), Admission(std::to_string(i), ""), begin);
    CHECK_FALSE(cache.any(key(0)));
    CHECK(cache.any(key(1)));
    CHECK_FALSE(AdmissionCache(0s).fresh(key(1), begin));
}
