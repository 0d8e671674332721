// SPDX-License-Identifier: MIT
// Operators who ask and steer an instancerd that runs, by HTTP and by instancerd ctl.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <forward.hpp>
#include <holds.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using Json = nlohmann::json;

namespace {

bool holds(const std::string& text, const Words& parts)
{
    bool all = true;
    for (const auto& part : parts)
        all = test_text::holds(text, part) && all;
    return all;
}

class Answer {
public:
    int status = 0;
    std::string text;

    Json json() const { return Json::parse(text); }

    Answer() = default;
};

std::string request(const std::string& method, const std::string& path, const std::string& body = {},
                    const std::string& fields = "Host: localhost\r\n")
{
    return method + " /api/v1" + path + " HTTP/1.1\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

Answer answer_on(RawClient client, const std::string& bytes)
{
    client.send(bytes);
    const auto all = client.receive_all();
    Answer answer;
    REQUIRE(all.starts_with("HTTP/1.1 "));
    answer.status = std::stoi(all.substr(9, 3));
    answer.text = all.substr(all.find("\r\n\r\n") + 4);
    return answer;
}

/// An instancerd with an admin address, and a directory for what it needs.
class Administered {
public:
    /// `words` are the command line, without the admin address.
    explicit Administered(Words words) : daemon(with_admin(std::move(words), socket()), 2) {}

    std::string socket() const { return directory.path("admin"); }

    Answer ask(const std::string& method, const std::string& path, const std::string& body = {}) const
    {
        return answer_on(RawClient(socket()), request(method, path, body));
    }
    Json get(const std::string& path) const
    {
        const auto answer = ask("GET", path);
        REQUIRE_MESSAGE(answer.status == 200, path << ": " << answer.text);
        return answer.json();
    }
    int order(const std::string& path, const std::string& body = {}) const { return ask("POST", path, body).status; }

    /// The members of a list once there are so many.
    Json wait_for(const std::string& list, std::size_t count) const
    {
        Json found;
        CHECK(eventually([&] {
            found = get("/" + list)[list];
            return found.size() == count;
        }));
        REQUIRE(found.size() == count);
        return found;
    }

    RawClient connect() const { return RawClient(daemon.port(2)); }

    TemporaryDirectory directory;

private:
    static Words with_admin(Words words, const std::string& socket)
    {
        words.insert(words.begin() + 1, {"--admin", "unix:" + socket});
        return words;
    }

public:
    Daemon daemon;
};

/// `instancerd ctl WORDS`, with what it wrote.
class Ctl {
public:
    Ctl(const Administered& administered, Words words)
    {
        words.insert(words.begin(), {"ctl", "-s", "unix:" + administered.socket()});
        Child child(instancerd(words));
        code = child.wait().value_or(-1);
        text = child.whole_log();
    }

    int code;
    std::string text;
};

Words echoing(const Words& options = {}) { return exec(options, {"/bin/cat"}); }

/// A client that has heard an echo.
std::unique_ptr<RawClient> served(const Administered& administered)
{
    auto client = std::make_unique<RawClient>(administered.daemon.port(2));
    client->send("ping");
    REQUIRE(client->receive(4) == "ping");
    return client;
}

std::string path_of(const Json& thing, const std::string& kind)
{
    const auto id = thing["id"].get<std::string>();
    const auto slash = id.find('/');
    return "/services/" + id.substr(0, slash) + "/" + kind + "/" + id.substr(slash + 1);
}

}  // namespace

TEST_CASE("an operator sees what there is")
{
    const Administered administered(echoing({"--max-instances", "7"}));
    const auto client = served(administered);
    const auto status = administered.get("/status");
    CHECK(status["sessions"] == 1);
    CHECK(status["instances"] == 1);
    CHECK(status["version"] == PROJECT_VERSION);
    const auto service = administered.get("/services/exec");
    CHECK(service["state"] == "serving");
    CHECK(service["mode"] == "exec");
    CHECK(service["listeners"] == Json::array({administered.daemon.address(2)}));
    CHECK(administered.get("/services")["services"] == Json::array({service}));
    const auto session = administered.wait_for("sessions", 1)[0];
    CHECK(session["id"] == "exec/1");
    CHECK(session["stage"] == "serving");
    CHECK(session["bytes_up"] == 4);
    CHECK(session["bytes_down"] == 4);
    CHECK(session["client"] == "127.0.0.1:" + std::to_string(client->local_port()));
    const auto instance = administered.wait_for("instances", 1)[0];
    CHECK(instance["name"] == session["instance"]);
    CHECK(instance["clients"] == 1);
    CHECK(administered.get("/queue")["queue"].empty());
    CHECK(administered.get("/bans")["bans"].empty());
    CHECK(administered.get("/upstreams")["upstreams"].empty());
}

TEST_CASE("long lists come in pages that lose nothing")
{
    const Administered administered(echoing());
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 5; ++i)
        clients.push_back(served(administered));
    administered.wait_for("sessions", 5);
    std::vector<std::string> ids;
    for (std::string after = "?limit=2";;) {
        const auto page = administered.get("/sessions" + after);
        CHECK(page["sessions"].size() <= 2);
        CHECK(page["total"] == 5);
        for (const auto& session : page["sessions"])
            ids.push_back(session["id"]);
        if (page["next"].is_null())
            break;
        after = "?limit=2&after=" + page["next"].get<std::string>();
    }
    CHECK(ids == Words{"exec/1", "exec/2", "exec/3", "exec/4", "exec/5"});
    CHECK(administered.get("/sessions?owner=none")["total"] == 0);
    CHECK(administered.ask("GET", "/sessions?limit=0").status == 400);
    CHECK(administered.ask("GET", "/sessions?limit=many").status == 400);
}

TEST_CASE("no answer holds a secret")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens", "shibboleth-of-ann\tAnn\n");
    const auto script = "echo leaked-$SECRET >&2; echo ready; read line; echo leaked-$SECRET >&2; exit 3";
    const Administered administered(exec({"--auth", "prompt", "--tokens", tokens, "--env", "SECRET=sesame", "--flag",
                                          "FLAG{open-{random:8}}", "--flag-log", directory.path("flags")},
                                         {"/bin/sh", "-c", script}));
    RawClient client = administered.connect();
    client.send("shibboleth-of-ann\n");
    while (client.receive_line().find("ready") == std::string::npos) {}
    RawClient wrong = administered.connect();
    wrong.send("open-sesame-please\n");
    wrong.receive_all();
    const auto check = [&] {
        for (const std::string path : {"/status", "/services", "/instances", "/sessions", "/queue", "/bans",
                                       "/upstreams", "/events?limit=1000"}) {
            const auto text = administered.ask("GET", path).text;
            for (const std::string secret : {"shibboleth", "sesame", "leaked", "FLAG{open"})
                CHECK_MESSAGE(text.find(secret) == std::string::npos, path << " tells " << secret << ": " << text);
        }
    };
    check();
    CHECK(administered.wait_for("sessions", 1)[0]["label"] == "Ann");
    client.send("go\n");
    client.receive_all();
    administered.wait_for("sessions", 0);
    check();
}

TEST_CASE("an operator ends a session, and it alone")
{
    const Administered administered(echoing());
    const auto one = served(administered), other = served(administered);
    CHECK(administered.order("/services/exec/sessions/1/end") == 200);
    one->receive_all();
    CHECK(one->ended_by_reset());
    CHECK(holds(administered.daemon.wait_for_line("killed by operator"), {"session=1"}));
    other->send("pong");
    CHECK(other->receive(4) == "pong");
    CHECK(administered.order("/services/exec/sessions/1/end") == 404);
    CHECK(administered.order("/services/exec/sessions/x/end") == 404);
    CHECK(administered.order("/services/other/sessions/2/end") == 404);
}

TEST_CASE("an operator keeps an instance from its end, and stops it")
{
    const Administered administered(echoing({"--ttl", "1h"}));
    const auto client = served(administered);
    const auto instance = administered.wait_for("instances", 1)[0];
    CHECK(instance["time_left"].get<double>() < 3601);
    const auto path = path_of(instance, "instances");
    CHECK(administered.order(path + "/extend", R"({"for": "5h"})") == 200);
    CHECK(administered.wait_for("instances", 1)[0]["time_left"].get<double>() > 3600 * 4);
    CHECK(administered.order(path + "/extend", R"({"for": "soon"})") == 400);
    CHECK(administered.order(path + "/extend", R"({"for": "0"})") == 400);
    CHECK(administered.order(path + "/extend", R"({"until": "5h"})") == 400);
    CHECK(administered.order(path + "/extend", "5h") == 400);
    CHECK(administered.order(path + "/stop") == 200);
    client->receive_all();
    CHECK(client->ended_by_reset());
    administered.wait_for("instances", 0);
    CHECK(administered.order(path + "/stop") == 404);
}

TEST_CASE("an operator resets an owner")
{
    const Administered administered(echoing({"--auth", "source"}));
    const auto client = served(administered);
    const auto owner = administered.wait_for("instances", 1)[0]["owner"].get<std::string>();
    CHECK(administered.order("/services/exec/owners/" + std::string(32, '0') + "/reset") == 200);
    client->send("pong");
    CHECK(client->receive(4) == "pong");
    CHECK(administered.order("/services/exec/owners/" + owner + "/reset") == 200);
    client->receive_all();
    CHECK(client->ended_by_reset());
    CHECK(administered.order("/services/exec/owners/nobody/reset") == 404);
}

TEST_CASE("a service is paused and resumed")
{
    const Administered administered(echoing());
    const auto client = served(administered);
    CHECK(administered.order("/services/exec/pause") == 200);
    CHECK(administered.get("/services/exec")["state"] == "paused");
    CHECK_FALSE(administered.connect().connected());
    client->send("pong");
    CHECK(client->receive(4) == "pong");
    CHECK(administered.order("/services/exec/resume") == 200);
    CHECK(administered.get("/services/exec")["state"] == "serving");
    served(administered);
}

TEST_CASE("an upstream is drained and filled")
{
    const Named one("one"), other("other");
    const Administered administered(forward(one.address() + "," + other.address()));
    const auto drain = Json{{"upstream", one.address()}}.dump();
    CHECK(administered.order("/services/forward/drain", drain) == 200);
    const auto list = administered.get("/upstreams");
    REQUIRE(list["upstreams"].size() == 2);
    for (const auto& upstream : list["upstreams"])
        CHECK(upstream["state"] == (upstream["name"] == one.address() ? "draining" : "up"));
    for (int i = 0; i < 4; ++i)
        CHECK(administered.connect().receive_line() == "other");
    CHECK(administered.order("/services/forward/fill", drain) == 200);
    CHECK(administered.order("/services/forward/drain", Json{{"upstream", other.address()}}.dump()) == 200);
    CHECK(administered.connect().receive_line() == "one");
    CHECK(administered.order("/services/forward/drain", R"({"upstream": "192.0.2.1:1"})") == 404);
}

TEST_CASE("a network is banned and unbanned, in the file as well")
{
    const TemporaryDirectory directory;
    const auto file = directory.path("bans");
    const auto content = [&file] {
        std::ostringstream text;
        text << std::ifstream(file).rdbuf();
        return text.str();
    };
    const Administered administered(echoing({"--ban-file", file}));
    const std::string body = R"({"network": "127.0.0.0/8", "for": "1h", "reason": "it floods"})";
    CHECK(administered.order("/services/exec/ban", body) == 200);
    const auto ban = administered.wait_for("bans", 1)[0];
    CHECK(ban["network"] == "127.0.0.0/8");
    CHECK(ban["reason"] == "it floods");
    auto client = administered.connect();
    client.receive_all();
    CHECK(client.ended_by_reset());
    CHECK(eventually([&] { return content().find("it floods") != std::string::npos; }));
    CHECK(administered.order("/services/exec/unban", R"({"network": "127.0.0.1"})") == 404);
    CHECK(administered.order("/services/exec/unban", R"({"network": "127.0.0.0/8"})") == 200);
    CHECK(eventually([&] { return content().empty(); }));
    served(administered);
    CHECK(administered.order("/services/exec/ban", R"({"network": "nowhere"})") == 409);

    const Administered without(echoing());
    CHECK(without.order("/services/exec/ban", body) == 409);
}

TEST_CASE("a configuration is put into force, after a look at what it would change")
{
    const TemporaryDirectory files;
    const auto configure = [&](const std::string& options, const std::string& top = {}) {
        return files.file("c.json", "{" + top +
                                        R"("services": {"web": {"mode": "exec", "io": "stdio", "listen": )"
                                        R"("127.0.0.1:0", "command": ["/bin/cat"])" +
                                        options + "}}}");
    };
    const Administered administered({"run", "--config", configure("")});
    const auto ttl = [&] { return administered.get("/services/web")["options"].value("ttl", ""); };
    const auto before = ttl();
    configure(R"(, "ttl": "1h")", R"("threads": 3, )");
    const Ctl look(administered, {"reload", "--dry-run"});
    CHECK(look.code == 0);
    CHECK(holds(look.text, {"web", "change", "ttl (for new instances)", "restart of the daemon", "threads"}));
    CHECK(ttl() == before);
    CHECK(Ctl(administered, {"reload"}).code == 0);
    CHECK(eventually([&] { return ttl() == "1h"; }));
    configure(R"(, "ttl": "soon")");
    const Ctl wrong(administered, {"reload"});
    CHECK(wrong.code == 5);
    CHECK(holds(wrong.text, {"c.json", "ttl", "soon"}));
    CHECK(ttl() == "1h");
    CHECK(administered.ask("POST", "/reload?dry_run=perhaps").status == 400);
}

TEST_CASE("a reload has lists read again, also where the configuration is as it was")
{
    const TemporaryDirectory files;
    Administered administered(echoing({"--access-file", files.file("rules", "allow all\n")}));
    served(administered);
    files.file("rules", "deny all\n");
    CHECK(Ctl(administered, {"reload"}).text == "the configuration is as it was\n");
    CHECK(administered.daemon.wait_for_line("rule") != "");
    auto client = administered.connect();
    client.receive_all();
    CHECK(client.ended_by_reset());
}

TEST_CASE("what an operator has paused or drained stays so over a reload")
{
    const TemporaryDirectory files;
    const Named target("one");
    const auto configure = [&](const std::string& options) {
        return files.file("c.json", R"({"services": {"web": {"mode": "forward", "listen": "127.0.0.1:0", "to": [")" +
                                        target.address() + R"("])" + options + "}}}");
    };
    const Administered administered({"run", "--config", configure("")});
    const auto upstream = administered.get("/upstreams")["upstreams"][0]["name"].get<std::string>();
    CHECK(Ctl(administered, {"drain", "web", upstream}).code == 0);
    CHECK(Ctl(administered, {"pause", "web"}).code == 0);
    configure(R"(, "session-idle": "1h")");
    CHECK(Ctl(administered, {"reload"}).code == 0);
    CHECK(eventually([&] { return administered.get("/services/web")["options"].contains("session-idle"); }));
    CHECK(administered.get("/services/web")["state"] == "paused");
    CHECK(administered.get("/upstreams")["upstreams"][0]["state"] == "draining");
    // Nor does one that is refused resume it.
    configure(R"(, "session-idle": "2h"}, "other": {"mode": "exec", "listen": "192.0.2.1:1", "command": ["/bin/cat"])");
    CHECK(Ctl(administered, {"reload"}).code == 5);
    CHECK_FALSE(administered.connect().connected());
}

TEST_CASE("instances that outlive the service whose place another one took are there yet")
{
    const TemporaryDirectory files;
    const auto configure = [&](const std::string& services) {
        return files.file("c.json",
                          R"({"services": {"other": {"mode": "exec", "listen": "unix:o", "command": ["/bin/cat"]})" +
                              services + "}}");
    };
    const std::string web =
        R"(, "web": {"mode": "exec", "listen": "unix:)" + files.path("w") + R"(", "command": ["/bin/cat"])";
    const Administered administered({"run", "--config", configure(web + "}")});
    RawClient client(files.path("w"));
    client.send("ping");
    REQUIRE(client.receive(4) == "ping");
    const auto names = [&] {
        std::string all;
        const auto list = administered.get("/instances");
        for (const auto& instance : list["instances"])
            all += instance["service"].get<std::string>() + " ";
        return all;
    };
    configure(web + R"(, "max-instances": 7})");
    CHECK(Ctl(administered, {"reload"}).code == 0);
    CHECK(eventually([&] { return administered.get("/services/web")["options"].value("max-instances", "") == "7"; }));
    CHECK(names() == "web ");
    configure("");
    CHECK(Ctl(administered, {"reload"}).code == 0);
    CHECK(eventually([&] { return administered.get("/services")["services"].size() == 2; }));
    CHECK(names() == "web ");
    client.send("pong");
    CHECK(client.receive(4) == "pong");
}

TEST_CASE("files are opened anew")
{
    const TemporaryDirectory files;
    const auto log = files.path("access.log");
    const Administered administered(echoing({"--access-log", log}));
    std::filesystem::rename(log, log + ".1");
    CHECK(Ctl(administered, {"reopen"}).code == 0);
    CHECK(std::filesystem::exists(log));
}

TEST_CASE("metrics are served to operators")
{
    const Administered administered(echoing());
    const auto client = served(administered);
    const auto answer = answer_on(RawClient(administered.socket()), "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(answer.status == 200);
    CHECK(holds(answer.text, {"instancerd_sessions{service=\"exec\",mode=\"exec\"} 1\n"}));
}

TEST_CASE("events say what happened, and why, as it happens")
{
    const Administered administered(echoing());
    RawClient follower(administered.socket());
    follower.send(request("GET", "/events/stream"));
    while (!follower.receive_line().starts_with("Content-Type: text/event-stream")) {}
    served(administered);
    // The last two events, whichever comes first.
    Json event;
    for (std::size_t ends = 0; ends < 2;) {
        const auto line = follower.receive_line();
        if (!line.starts_with("data: ") || line.find("-ended") == std::string::npos)
            continue;
        ++ends;
        if (line.find("session-ended") != std::string::npos)
            event = Json::parse(line.substr(6));
    }
    CHECK(event["service"] == "exec");
    CHECK(event["session"] == 1);
    CHECK_FALSE(event["reason"].get<std::string>().empty());

    const auto all = administered.get("/events");
    const auto last = all["next"].get<std::uint64_t>();
    CHECK(last >= event["id"].get<std::uint64_t>());
    CHECK(administered.get("/events?since=" + std::to_string(last))["events"].empty());
    CHECK(administered.get("/events?since=0&limit=1")["events"][0]["id"] == 1);
    // Whoever has seen more was told so by a daemon before this one.
    CHECK(administered.get("/events?since=1000000&limit=1")["events"][0]["id"] == 1);
}

TEST_CASE("a daemon ends while somebody follows its events")
{
    Administered administered(echoing());
    RawClient follower(administered.socket());
    follower.send(request("GET", "/events/stream"));
    follower.receive_line();
    CHECK(administered.daemon.terminate() == 0);
    CHECK_FALSE(std::filesystem::exists(administered.socket()));
}

TEST_CASE("a port asks for the token, and for a name that it has")
{
    const TemporaryDirectory directory;
    const std::string token = "0123456789abcdef0123";
    const auto file = directory.file("token", token + "\n");
    std::filesystem::permissions(file, std::filesystem::perms(0600));
    const Daemon daemon(
        exec({"--admin", "127.0.0.1:0", "--admin-token-file", file, "--admin-host", "ops.example"}, {"/bin/cat"}), 2);
    const auto status_for = [&](const std::string& fields) {
        return answer_on(RawClient(daemon.port()), request("GET", "/status", {}, fields)).status;
    };
    const auto authorization = "Authorization: Bearer " + token + "\r\n";
    CHECK(status_for("Host: localhost\r\n") == 401);
    CHECK(status_for("Host: localhost\r\nAuthorization: Bearer " + token + "x\r\n") == 401);
    CHECK(status_for("Host: localhost\r\nAuthorization: Basic " + token + "\r\n") == 401);
    CHECK(status_for("Host: localhost\r\n" + authorization) == 200);
    CHECK(status_for("Host: ops.example:1\r\n" + authorization) == 200);
    CHECK(status_for("Host: evil.example\r\n" + authorization) == 403);
    CHECK(status_for("Host: localhost\r\nOrigin: http://evil.example\r\n" + authorization) == 403);

    const auto ctl = [&](const Words& more) {
        Words words = {"ctl", "-s", daemon.address(), "status"};
        words.insert(words.end(), more.begin(), more.end());
        return Child(instancerd(words)).wait().value_or(-1);
    };
    CHECK(ctl({}) == 5);
    CHECK(ctl({"--token-file", file}) == 0);
}

TEST_CASE("an admin address that others could use is refused")
{
    const TemporaryDirectory directory;
    const auto complaint = [](const Words& options) {
        Child child(instancerd(exec(options, {"/bin/cat"})));
        CHECK(child.wait() == 2);
        return child.whole_log();
    };
    CHECK(holds(complaint({"--admin", "127.0.0.1:0"}), {"--admin-token-file"}));
    CHECK(holds(complaint({"--admin", "fd:admin"}), {"--admin-token-file"}));
    CHECK(holds(complaint({"--admin", "unix:@admin"}), {"abstract"}));
    CHECK(holds(complaint({"--admin-host", "a.example"}), {"no effect without --admin"}));
    const auto file = directory.file("token", "short\n");
    CHECK(holds(complaint({"--admin", "127.0.0.1:0", "--admin-token-file", file}), {"16 characters"}));
    std::ofstream(file) << std::string(20, 'x');
    std::filesystem::permissions(file, std::filesystem::perms(0644));
    CHECK(holds(complaint({"--admin", "127.0.0.1:0", "--admin-token-file", file}), {"chmod 0600"}));
}

TEST_CASE("ctl shows tables, and does what it is told")
{
    const Administered administered(echoing({"--ttl", "1h"}));
    const auto client = served(administered);
    const Ctl sessions(administered, {"sessions"});
    CHECK(sessions.code == 0);
    CHECK(holds(sessions.text, {"ID", "CLIENT", "STAGE", "exec/1", "serving"}));
    CHECK(holds(Ctl(administered, {"services"}).text, {"NAME", "exec", "serving"}));
    CHECK(holds(Ctl(administered, {"status"}).text, {"version", PROJECT_VERSION}));
    CHECK(Ctl(administered, {"bans"}).text == "none\n");
    CHECK(holds(Ctl(administered, {"events"}).text, {"session-started", "client=127.0.0.1:"}));
    const auto json = Json::parse(Ctl(administered, {"instances", "--json"}).text);
    const auto id = json["instances"][0]["id"].get<std::string>();
    CHECK(Ctl(administered, {"extend", id, "--for", "2h"}).code == 0);
    CHECK(Ctl(administered, {"pause", "exec"}).code == 0);
    CHECK(holds(Ctl(administered, {"services"}).text, {"paused"}));
    CHECK(Ctl(administered, {"resume", "exec"}).code == 0);
    CHECK(Ctl(administered, {"end", "exec/1"}).code == 0);
    client->receive_all();
    CHECK(client->ended_by_reset());
}

TEST_CASE("ctl follows events")
{
    const Administered administered(echoing());
    Child follower(instancerd({"ctl", "-s", "unix:" + administered.socket(), "events", "--follow"}));
    std::string line;
    while (line.empty()) {
        served(administered);
        line = follower.wait_for_line("session-ended", 1, 100ms);
    }
    CHECK(holds(line, {"exec", "reason="}));
    follower.signal(SIGINT);
    CHECK(follower.wait() == 128 + SIGINT);
}

TEST_CASE("ctl survives an answer that no daemon would give")
{
    const auto code_at = [](const std::string& answer) {
        const TemporaryDirectory directory;
        const Listener stranger("unix:" + directory.path("stranger"));
        Child child(instancerd({"ctl", "-s", "unix:" + directory.path("stranger"), "sessions"}));
        const auto connection = stranger.accept();
        const auto whole = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(answer.size()) + "\r\n\r\n" + answer;
        CHECK(::send(connection.get(), whole.data(), whole.size(), MSG_NOSIGNAL) > 0);
        const auto code = child.wait();
        CHECK(child.whole_log().find('\x1b') == std::string::npos);
        return code;
    };
    CHECK(code_at(R"({"sessions": [{"age": "x"}], "next": null})") == 1);
    CHECK(code_at(R"({"sessions": [{"\u001b[2J": 1}], "next": null})") == 0);
    CHECK(code_at(std::string(100'000, '[')) == 1);
}

TEST_CASE("ctl tells apart why nothing was done")
{
    const Administered administered(echoing());
    const auto code = [&](const Words& words) { return Ctl(administered, words).code; };
    CHECK(code({}) == 2);
    CHECK(code({"dance"}) == 2);
    CHECK(code({"stop"}) == 2);
    CHECK(code({"stop", "exec"}) == 2);
    CHECK(code({"stop", "exec/1", "--follow"}) == 2);
    CHECK(code({"extend", "exec/1"}) == 2);
    CHECK(code({"status", "--dance"}) == 2);
    CHECK(code({"stop", "exec/999"}) == 3);
    CHECK(code({"pause", "nothing"}) == 3);
    CHECK(code({"drain", "exec", "127.0.0.1:1"}) == 5);
    Child lonely(instancerd({"ctl", "-s", "unix:" + administered.directory.path("nobody"), "status"}));
    CHECK(lonely.wait() == 4);
    CHECK(holds(lonely.whole_log(), {"no daemon", "nobody"}));
}

TEST_CASE("parameters and services that are not there are no empty lists")
{
    const Administered administered(echoing());
    CHECK(administered.ask("GET", "/sessions?servce=exec").status == 400);
    CHECK(administered.ask("POST", "/reload?dryrun=true").status == 400);
    CHECK(administered.ask("GET", "/sessions?service=nothing").status == 404);
    CHECK(Ctl(administered, {"instances", "--service", "nothing"}).code == 3);
}

TEST_CASE("what is unknown is answered in JSON")
{
    const Administered administered(echoing());
    CHECK(administered.ask("GET", "/nothing").json()["error"] == "no-such-path");
    CHECK(administered.ask("DELETE", "/status").status == 405);
    CHECK(administered.ask("GET", "/services/nothing").status == 404);
    CHECK(administered.get("/openapi.json")["openapi"] == "3.1.0");
}

TEST_CASE("clients that poll and act disturb no session")
{
    constexpr std::size_t pollers = 200, sessions = 8;
    const Administered administered(echoing());
    std::atomic<std::size_t> wrong_answers = 0, lost_sessions = 0;
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < pollers; ++i)
        threads.emplace_back([&, i] {
            const std::string paths[] = {"/status", "/sessions", "/instances", "/events"};
            for (std::size_t round = 0; round < 5; ++round) {
                RawClient client(administered.socket());
                client.send(request("GET", paths[(i + round) % std::size(paths)]));
                if (!client.receive_all().starts_with("HTTP/1.1 200"))
                    ++wrong_answers;
            }
        });
    for (std::size_t i = 0; i < sessions; ++i)
        threads.emplace_back([&] {
            for (int round = 0; round < 20; ++round) {
                RawClient client(administered.daemon.port(2));
                client.send("ping");
                if (client.receive(4) != "ping")
                    ++lost_sessions;
            }
        });
    threads.clear();
    CHECK(wrong_answers == 0);
    CHECK(lost_sessions == 0);
    administered.wait_for("sessions", 0);
}
