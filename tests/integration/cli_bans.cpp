// SPDX-License-Identifier: MIT
// Clients that come too often or fail too often, and how many may be on their way in, as instancerd has them.
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <daemon.hpp>
#include <holds.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using test_text::holds;

namespace {

using Words = std::vector<std::string>;

/// An instancerd that asks for the token `secret` and echoes.
Words asking(const TemporaryDirectory& directory, const Words& options = {}, const std::string& listen = "127.0.0.1:0")
{
    Words words = {
        "exec", "--listen", listen, "--auth", "prompt", "--tokens", directory.file("tokens.txt", "secret\nother\n")};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// What becomes of a client that names `token`.
std::string answer(RawClient client, const std::string& token, const std::string& header = {})
{
    client.send(header + token + "\necho");
    client.half_close();
    const auto all = client.receive_all();
    if (all == "token: echo")
        return "served";
    if (all == "token: unknown token\n")
        return "unknown";
    return all.empty() ? "nothing" : all;
}
std::string answer(const Daemon& daemon, const std::string& token, const std::string& from = "127.0.0.1")
{
    return answer(RawClient(daemon.port(), from), token);
}

std::string content_of(const std::string& file)
{
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

/// So long from now, as files of bans have it.
std::string in_utc(std::time_t seconds)
{
    const auto time = std::time(nullptr) + seconds;
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&time));
    return text;
}

}  // namespace

TEST_CASE("connect rate: who comes too often meets what denied says, and nobody else is touched")
{
    Daemon daemon(
        {"exec", "--listen", "127.0.0.1:0", "--connect-rate", "3/1h", "--denied", "close", "--", "/bin/echo", "hello"});
    for (int i = 0; i < 3; ++i)
        CHECK(RawClient(daemon.port()).receive_all() == "hello\n");
    RawClient fourth(daemon.port());
    CHECK(fourth.receive_all() == "");
    CHECK(fourth.ended_in_order());
    CHECK(holds(daemon.wait_for_line("session ended: denied"), "more connections of 127.0.0.1 at once than 3"));
    CHECK(RawClient(daemon.port(), "127.0.0.2").receive_all() == "hello\n");
}

TEST_CASE("connect rate: IPv4 clients of one network count together, and so does who a PROXY header names")
{
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--connect-rate", "2/1h", "--source-prefix4", "24",
                   "--accept-proxy", "127.0.0.1", "--", "/bin/echo", "hello"});
    const auto greeting = [&](const std::string& header, const std::string& from = "127.0.0.1") {
        RawClient client(daemon.port(), from);
        client.send(header);
        return client.receive_all();
    };
    CHECK(greeting("", "127.0.1.1") == "hello\n");
    CHECK(greeting("", "127.0.1.2") == "hello\n");
    CHECK(greeting("", "127.0.1.3") == "");
    CHECK(greeting("", "127.0.2.1") == "hello\n");
    for (const auto* expected : {"hello\n", "hello\n", ""})
        CHECK(greeting("PROXY TCP4 192.0.2.7 10.0.0.1 4000 443\r\n") == expected);
    CHECK(greeting("PROXY TCP4 192.0.3.7 10.0.0.1 4000 443\r\n") == "hello\n");
    // Checks of the proxy's own are no client's.
    for (int i = 0; i < 4; ++i)
        CHECK(greeting("PROXY UNKNOWN\r\n") == "hello\n");
}

TEST_CASE("bans: who names wrong tokens is banned, and the log says who, for how long and why")
{
    const TemporaryDirectory directory;
    Daemon daemon(asking(directory, {"--ban-after", "2/1h", "--ban-for", "10m"}));
    CHECK(answer(daemon, "guess 1") == "unknown");
    CHECK(answer(daemon, "guess 2") == "unknown");
    CHECK(answer(daemon, "secret") == "served");
    CHECK(answer(daemon, "guess 3") == "unknown");
    CHECK(holds(daemon.wait_for_line("banned "), "banned 127.0.0.1 for 10m: authentication: unknown token"));
    CHECK(answer(daemon, "secret") == "nothing");
    CHECK(holds(daemon.wait_for_line("session ended: denied"), "denied: 127.0.0.1 is banned until 2"));
    CHECK(answer(daemon, "secret", "127.0.0.2") == "served");
    CHECK(daemon.log().find("guess") == std::string::npos);
}

TEST_CASE("bans: leaving is no failure, and exempt clients and those of Unix sockets are never banned")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon daemon(
        asking(directory, {"--listen", "unix:" + path, "--ban-after", "1/1h", "--ban-exempt", "127.0.0.2/31"}), 2);
    for (int i = 0; i < 4; ++i) {
        RawClient client(daemon.port());
        CHECK(client.receive(7) == "token: ");
        client.send("half a tok");
        client.half_close();
        CHECK(client.receive_all() == "");
        CHECK(answer(daemon, "guess", "127.0.0.3") == "unknown");
        CHECK(answer(RawClient(path), "guess") == "unknown");
    }
    REQUIRE(daemon.wait_for_line("session ended: rejected", 12) != "");
    CHECK(answer(daemon, "secret") == "served");
    CHECK(daemon.count("banned") == 0);
}

TEST_CASE("bans: behind a proxy the client that its header names is banned, never the proxy")
{
    const TemporaryDirectory directory;
    Daemon daemon(asking(directory, {"--ban-after", "1/1h", "--accept-proxy", "127.0.0.1", "--denied", "close"}));
    const auto by_proxy = [&](const std::string& header, const std::string& token) {
        return answer(RawClient(daemon.port()), token, header);
    };
    const std::string client = "PROXY TCP4 192.0.2.7 10.0.0.1 4000 443\r\n",
                      other = "PROXY TCP4 192.0.2.8 10.0.0.1 4000 443\r\n";
    for (int i = 0; i < 3; ++i) {
        CHECK(by_proxy("PROXY UNKNOWN\r\n", "guess") == "unknown");
        CHECK(by_proxy("GET / HTTP/1.0\r\n", "guess") == "nothing");
    }
    CHECK(by_proxy(client, "guess") == "unknown");
    CHECK(by_proxy(client, "guess") == "unknown");
    CHECK(by_proxy(client, "secret") == "nothing");
    CHECK(by_proxy(other, "secret") == "served");
    CHECK(holds(daemon.wait_for_line("banned "), "banned 192.0.2.7 for "));
    CHECK(daemon.count("banned 1") == 1);
}

TEST_CASE("bans: a file keeps them over a restart, and an operator edits it while the daemon runs")
{
    const TemporaryDirectory directory;
    const auto file = directory.path("bans");
    const auto tomorrow = in_utc(24 * 3600);
    const auto command = asking(directory, {"--ban-after", "1/1h", "--ban-file", file});
    {
        Daemon daemon(command);
        CHECK(answer(daemon, "guess") == "unknown");
        CHECK(answer(daemon, "guess") == "unknown");
        CHECK(eventually([&] { return content_of(file).starts_with("deny 127.0.0.1 until 2"); }));
        CHECK(holds(content_of(file), "Z # authentication: unknown token\n"));
        struct stat status {};
        REQUIRE(::stat(file.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
        CHECK(daemon.terminate() == 0);
    }
    Daemon daemon(command);
    CHECK(answer(daemon, "secret") == "nothing");

    directory.file("bans", "deny 127.0.0.2 until " + tomorrow + " # by hand\n");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("read 1 ban from " + file) != "");
    CHECK(answer(daemon, "secret") == "served");
    CHECK(answer(daemon, "secret", "127.0.0.2") == "nothing");
    CHECK(holds(daemon.wait_for_line("session ended: denied", 2), ": by hand"));

    // Without a signal as well: a ban that begins now does not undo the edit.
    directory.file("bans", "# nobody else\ndeny 127.0.0.3 until " + tomorrow + " # by hand\n");
    CHECK(answer(daemon, "guess", "127.0.0.4") == "unknown");
    CHECK(answer(daemon, "guess", "127.0.0.4") == "unknown");
    CHECK(eventually([&] { return content_of(file).find("deny 127.0.0.4 until 2") != std::string::npos; }));
    CHECK(holds(content_of(file), "deny 127.0.0.3 until " + tomorrow + " # by hand\n"));
    CHECK(answer(daemon, "secret", "127.0.0.2") == "served");
    CHECK(answer(daemon, "secret", "127.0.0.3") == "nothing");

    // One that an operator wrote is not shortened by one that begins before the file is read.
    directory.file("bans", "deny 127.0.0.3 until " + tomorrow + " # by hand\ndeny 127.0.0.5 until " + tomorrow +
                               " # by hand\n");
    CHECK(answer(daemon, "guess", "127.0.0.5") == "unknown");
    CHECK(answer(daemon, "guess", "127.0.0.5") == "unknown");
    CHECK(answer(daemon, "guess", "127.0.0.6") == "unknown");
    CHECK(answer(daemon, "guess", "127.0.0.6") == "unknown");
    CHECK(eventually([&] { return content_of(file).find("deny 127.0.0.6 until 2") != std::string::npos; }));
    CHECK(holds(content_of(file), "deny 127.0.0.5 until " + tomorrow + " # by hand\n"));

    directory.file("bans", "deny everybody\n");
    daemon.signal(SIGHUP);
    CHECK(holds(daemon.wait_for_line("the bans stay as they were"), file + ":1: is no ban; write deny NETWORK until"));
    CHECK(answer(daemon, "secret", "127.0.0.3") == "nothing");
    CHECK(content_of(file) == "deny everybody\n");
    std::filesystem::remove(file);
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("read 0 bans from " + file) != "");
    CHECK(answer(daemon, "secret", "127.0.0.3") == "served");
}

TEST_CASE("bans: a file keeps its owner and permissions, and a link to it stays one" * doctest::skip(::geteuid() != 0))
{
    const TemporaryDirectory directory;
    const auto target = directory.file("target", "");
    const auto link = directory.path("bans");
    REQUIRE(::symlink("target", link.c_str()) == 0);
    REQUIRE(::chown(target.c_str(), 4242, 4243) == 0);
    REQUIRE(::chmod(target.c_str(), 0640) == 0);
    Daemon daemon(asking(directory, {"--ban-after", "1/1h", "--ban-file", link}));
    for (const auto* guess : {"guess 1", "guess 2"})
        CHECK(answer(daemon, guess) == "unknown");
    CHECK(eventually([&] { return content_of(target).find("deny 127.0.0.1 until ") == 0; }));
    CHECK(std::filesystem::is_symlink(link));
    struct stat status {};
    REQUIRE(::stat(target.c_str(), &status) == 0);
    CHECK(status.st_uid == 4242);
    CHECK(status.st_gid == 4243);
    CHECK((status.st_mode & 07777) == 0640);
    CHECK_FALSE(std::filesystem::exists(target + ".new"));
}

TEST_CASE("bans: how often a source was banned is kept over a restart, and may be edited")
{
    const TemporaryDirectory directory;
    const auto file = directory.path("bans");
    const auto command = asking(directory, {"--ban-after", "1/1h", "--ban-for", "1s", "--ban-file", file});
    const auto is_banned_for = [&](const Daemon& daemon, const std::string& span) {
        CHECK(answer(daemon, "guess") == "unknown");
        CHECK(answer(daemon, "guess") == "unknown");
        CHECK(daemon.wait_for_line("exec: banned 127.0.0.1 for " + span + ": ") != "");
    };
    {
        Daemon daemon(command);
        is_banned_for(daemon, "1s");
        CHECK(eventually([&] { return content_of(file).ends_with("Z # authentication: unknown token\n"); }));
        CHECK(daemon.terminate() == 0);
    }
    {
        Daemon daemon(command);
        REQUIRE(eventually([&] { return answer(daemon, "secret") == "served"; }));
        is_banned_for(daemon, "2s");
        CHECK(eventually([&] { return content_of(file).ends_with("Z times 2 # authentication: unknown token\n"); }));
        CHECK(daemon.terminate() == 0);
    }
    directory.file("bans", "deny 127.0.0.1 until " + in_utc(-3600) + " times 6 # by hand\n");
    Daemon daemon(command);
    CHECK(answer(daemon, "secret") == "served");
    is_banned_for(daemon, "64s");
}

TEST_CASE("bans: a wrong file, and one for two services, are named before anything starts")
{
    const TemporaryDirectory directory;
    const auto file = directory.file("bans", "deny 10.0.0.0/8 until noon\n");
    directory.file("tokens.txt", "secret\n");
    const std::string service = R"({ "mode": "exec", "listen": ":0", "command": ["/bin/cat"], "auth": "prompt",
                                     "tokens": "tokens.txt", "ban-after": "5/1m", "ban-file": "bans" })";
    Child check(
        instancerd({"check", "--config",
                    directory.file("c.json", "{ \"services\": { \"a\": " + service + ", \"b\": " + service + " } }")}));
    CHECK(check.wait() == 2);
    CHECK(holds(check.whole_log(), "$.services.a.ban-file: " + file + ":1: 'noon' is no time; write it in UTC"));
    CHECK(holds(check.whole_log(), "$.services.b.ban-file: " + file + " is that of service a as well; name one for"));
}

TEST_CASE("start rate: an owner starts no more instances in a time than one may, and nobody else is touched")
{
    const TemporaryDirectory directory;
    Daemon daemon(asking(directory, {"--start-rate", "2/1h", "--warm", "1"}));
    CHECK(answer(daemon, "secret") == "served");
    CHECK(answer(daemon, "secret", "127.0.0.2") == "served");
    CHECK(answer(daemon, "secret") == "token: no instance is free\n");
    CHECK(
        holds(daemon.wait_for_line("session ended: refused"), "refused: start rate: its owner starts instances more"));
    CHECK(answer(daemon, "other") == "served");
}

TEST_CASE("start rate: without owners it is the source that counts, and who is told hears when to come back")
{
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--start-rate", "2/1h", "--tell", "--", "/bin/echo", "hello"});
    const auto greeting = [&](const std::string& from) { return RawClient(daemon.port(), from).receive_all(); };
    CHECK(greeting("127.0.0.1") == "hello\n");
    CHECK(greeting("127.0.0.1") == "hello\n");
    CHECK(greeting("127.0.0.1") == "too often; come back in 30m\n");
    CHECK(greeting("127.0.0.2") == "hello\n");
}

TEST_CASE("start rate: who comes back to an instance that runs has none started")
{
    const std::string program = "import socket, sys\nserver = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                                "while True:\n  client = server.accept()[0]\n  client.sendall(client.recv(9))\n";
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--io", "port", "--auth", "source", "--start-rate", "1/1h", "--",
                   "python3", "-c", program, "{port}"});
    for (int i = 0; i < 3; ++i) {
        RawClient client(daemon.port());
        client.send("echo");
        CHECK(client.receive_all() == "echo");
    }
    CHECK(daemon.count("instance started") == 1);
}

TEST_CASE("unadmitted: a source that has as many as it may makes room for its next one itself")
{
    const TemporaryDirectory directory;
    Daemon daemon(asking(directory, {"--max-unadmitted-per-source", "2", "--log-level", "debug"}));
    RawClient other(daemon.port(), "127.0.0.2"), first(daemon.port()), second(daemon.port());
    for (auto* client : {&other, &first, &second})
        CHECK(client->receive(7) == "token: ");
    RawClient third(daemon.port());
    CHECK(third.receive(7) == "token: ");
    CHECK(first.receive_all() == "");
    CHECK(first.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: displaced") != "");
    CHECK(second.receives_nothing());
    CHECK(other.receives_nothing());
}

TEST_CASE("places: one client too many that says who it is resets the oldest of the source that has most")
{
    const TemporaryDirectory directory;
    Daemon daemon(asking(directory, {"--max-authenticating", "2", "--log-level", "debug"}));
    RawClient other(daemon.port(), "127.0.0.2"), first(daemon.port());
    for (auto* client : {&other, &first})
        CHECK(client->receive(7) == "token: ");
    RawClient second(daemon.port());
    CHECK(second.receive(7) == "token: ");
    CHECK(first.receive_all() == "");
    CHECK(first.ended_by_reset());
    CHECK(daemon.wait_for_line("session ended: displaced") != "");
    for (auto* client : {&other, &second}) {
        client->send("secret\nx");
        CHECK(client->receive(1) == "x");
    }
}
