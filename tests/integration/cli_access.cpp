// SPDX-License-Identifier: MIT
// Who may connect: rules, limits, and clients that a proxy introduces, as instancerd has them.
#include <ctime>
#include <filesystem>
#include <optional>

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <instancer/acceptor/proxy_protocol.hpp>

#include <daemon.hpp>
#include <holds.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using namespace std::string_literals;
using test_text::holds;

namespace {

using Words = std::vector<std::string>;

/// A service that sends each client its address, as the daemon knows it, and then echoes.
Words greeter(const Words& more, const Words& listen = {"127.0.0.1:0"})
{
    Words words = {"exec"};
    for (const auto& address : listen)
        words.insert(words.end(), {"--listen", address});
    words.insert(words.end(), more.begin(), more.end());
    const auto script = "echo \"${INSTANCER_CLIENT_ADDRESS:-uid $INSTANCER_CLIENT_UID}\"; exec cat";
    words.insert(words.end(), {"--", "/bin/sh", "-c", script});
    return words;
}

/// The greeting that a client from there gets; how the connection ended when it got none.
std::string greeting(const Daemon& daemon, const std::string& from = "127.0.0.1", const std::string& header = {})
{
    RawClient client(daemon.port(), from);
    client.send(header);
    const auto line = client.receive_line();
    if (!line.empty())
        return line;
    return client.ended_by_reset() ? "reset" : client.ended_in_order() ? "end" : "nothing";
}

/// Runs instancerd with what is wrong, until it ends by itself.
std::string complaint(const Words& options)
{
    Child child(instancerd(greeter(options)));
    CHECK(child.wait() == 2);
    return child.whole_log();
}

const std::string header_v1 = "PROXY TCP4 192.0.2.7 10.0.0.1 4000 443\r\n";
const std::string header_v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x0f\xa0\1\xbb"s;

}  // namespace

TEST_CASE("access: allow and deny, the smallest network first")
{
    Daemon daemon(
        greeter({"--allow", "127.0.0.0/8", "--deny", "127.0.0.2", "--deny", "127.1.0.0/16", "--allow", "127.1.0.1"}));
    CHECK(greeting(daemon) == "127.0.0.1");
    CHECK(greeting(daemon, "127.0.0.2") == "reset");
    CHECK(greeting(daemon, "127.0.0.3") == "127.0.0.3");
    CHECK(greeting(daemon, "127.1.0.1") == "127.1.0.1");
    CHECK(greeting(daemon, "127.1.0.2") == "reset");
    const auto line = daemon.wait_for_line("session ended: denied");
    CHECK(holds(line, "denied: the rule for 127.0.0.2 denies it"));
    CHECK(holds(line, "client=127.0.0.2:"));
    CHECK(holds(daemon.wait_for_line("session ended: denied", 2), "denied: the rule for 127.1.0.0/16 denies it"));
    CHECK(daemon.terminate() == 0);
    CHECK(daemon.count("session ended: denied") == 2);
}

TEST_CASE("access: the rules hold on every listener of the service, Unix sockets by `all` alone")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    const auto answers = [&](const Words& rules) {
        Daemon daemon(greeter(rules, {"127.0.0.1:0", ":0", "unix:" + path}), 3);
        RawClient mapped(daemon.port(2)), local(path);
        return greeting(daemon) + "," + mapped.receive_line() + "," + local.receive_line();
    };
    const auto uid = "uid " + std::to_string(::getuid());
    CHECK(answers({"--allow", "127.0.0.0/8"}) == "127.0.0.1,127.0.0.1,");
    CHECK(answers({"--allow", "::/0"}) == "reset,,");
    CHECK(answers({"--allow", "all", "--deny", "127.0.0.0/8"}) == "reset,," + uid);
    CHECK(answers({"--deny", "all", "--allow", "127.0.0.0/8"}) == "127.0.0.1,127.0.0.1,");
}

TEST_CASE("access: a source that is denied again and again does not fill the log")
{
    Daemon daemon(greeter({"--deny", "127.0.0.2"}));
    for (int i = 0; i < 30; ++i)
        CHECK(greeting(daemon, "127.0.0.2") == "reset");
    CHECK(greeting(daemon) == "127.0.0.1");
    CHECK(daemon.terminate() == 0);
    CHECK(daemon.whole_log().find("further connections of 127.0.0.2 were denied: 25") != std::string::npos);
    CHECK(daemon.count("session ended: denied") == 5);
}

TEST_CASE("access: what becomes of who is denied")
{
    SUBCASE("close") { CHECK(greeting(Daemon(greeter({"--deny", "all", "--denied", "close"}))) == "end"); }
    SUBCASE("reset") { CHECK(greeting(Daemon(greeter({"--deny", "all", "--denied", "reset"}))) == "reset"); }
    SUBCASE("hold: in silence, until it leaves")
    {
        Daemon daemon(greeter({"--deny", "127.0.0.2", "--denied", "hold", "--threads", "2"}));
        RawClient client(daemon.port(), "127.0.0.2");
        CHECK(client.send("hello"));
        REQUIRE(daemon.wait_for_line("session ended: denied") != "");
        CHECK(client.receives_nothing());
        client.half_close();
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        RawClient another(daemon.port(), "127.0.0.2");
        REQUIRE(daemon.wait_for_line("session ended: denied", 2) != "");
        CHECK(daemon.terminate() == 0);
        CHECK(another.receive_all() == "");
    }
}

TEST_CASE("access: days and hours, by the clock of the zone")
{
    // From an hour ago to two hours ahead, in UTC.
    const auto now = std::time(nullptr);
    const auto hour = [&](std::time_t offset) {
        const auto number = std::to_string((now / 3600 + 24 + offset) % 24);
        return (number.size() == 1 ? "0" : "") + number + ":00";
    };
    const auto rule = "127.0.0.0/8 " + hour(-1) + "-" + hour(2);
    CHECK(greeting(Daemon(greeter({"--time-zone", "UTC", "--allow", rule}))) == "127.0.0.1");
    CHECK(greeting(Daemon(greeter({"--time-zone", "Etc/GMT-12", "--allow", rule}))) == "reset");
    CHECK(greeting(Daemon(greeter({"--time-zone", "Etc/GMT-12", "--deny", rule}))) == "127.0.0.1");
    // The system's zone is that of TZ, where it is set.
    const auto command = instancerd(greeter({"--allow", rule}));
    CHECK(greeting(Daemon(command, {"TZ=UTC"}, -1)) == "127.0.0.1");
    CHECK(greeting(Daemon(command, {"TZ=Etc/GMT-12"}, -1)) == "reset");
}

TEST_CASE("access: a file of rules is read again on SIGHUP, unless it is wrong")
{
    const TemporaryDirectory directory;
    const auto file = directory.file("rules", "deny 127.0.0.2  # for now\n");
    Daemon daemon(greeter({"--access-file", file, "--deny", "127.0.0.9"}));
    CHECK(greeting(daemon) == "127.0.0.1");
    CHECK(greeting(daemon, "127.0.0.2") == "reset");
    RawClient stays(daemon.port());
    CHECK(stays.receive_line() == "127.0.0.1");

    directory.file("rules", "allow 127.0.0.2\n");
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("2 access rules, with those of " + file) != "");
    CHECK(greeting(daemon) == "reset");
    CHECK(greeting(daemon, "127.0.0.2") == "127.0.0.2");
    CHECK(greeting(daemon, "127.0.0.9") == "reset");
    stays.send("still here\n");
    CHECK(stays.receive_line() == "still here");

    directory.file("rules", "allow all\nallow 127.0.0.1/8\n");
    daemon.signal(SIGHUP);
    const auto warning = daemon.wait_for_line("the access rules stay as they were");
    CHECK(holds(warning, file + ":2: '127.0.0.1/8' has bits beyond its prefix; write 127.0.0.0/8"));
    CHECK(greeting(daemon) == "reset");
    CHECK(greeting(daemon, "127.0.0.2") == "127.0.0.2");

    std::filesystem::remove(file);
    daemon.signal(SIGHUP);
    CHECK(holds(daemon.wait_for_line("the access rules stay as they were", 2), "cannot read " + file));
    CHECK(greeting(daemon, "127.0.0.2") == "127.0.0.2");
}

TEST_CASE("access: limits of connections, of all and of one source, are free again afterwards")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Daemon daemon(greeter({"--max-connections", "3", "--max-per-source", "2"}, {"127.0.0.1:0", "unix:" + path}), 2);
    RawClient one(daemon.port()), two(daemon.port());
    CHECK(one.receive_line() == "127.0.0.1");
    CHECK(two.receive_line() == "127.0.0.1");
    CHECK(greeting(daemon) == "reset");
    CHECK(holds(daemon.wait_for_line("session ended: refused"), "as many connections of 127.0.0.1 as there may be: 2"));
    std::optional<RawClient> third(path);
    CHECK(third->receive_line() == "uid " + std::to_string(::getuid()));
    CHECK(greeting(daemon, "127.0.0.2") == "reset");
    CHECK(holds(daemon.wait_for_line("session ended: refused", 2),
                "as many connections as there may be: 3 (max-connections)"));

    one.half_close();
    CHECK(one.receive_all() == "");
    REQUIRE(daemon.wait_for_line("session ended: completed") != "");
    CHECK(greeting(daemon) == "127.0.0.1");
    REQUIRE(daemon.wait_for_line("session ended", 4) != "");
    RawClient fourth(path);
    CHECK(fourth.receive_line() == "uid " + std::to_string(::getuid()));
    two.reset();
    REQUIRE(daemon.wait_for_line("session ended", 5) != "");
    RawClient fifth(path);
    CHECK(fifth.receive_all() == "");
    CHECK(holds(daemon.wait_for_line("session ended: refused", 3),
                "as many connections of uid " + std::to_string(::getuid()) + " as there may be: 2"));
}

TEST_CASE("access: a PROXY header of either version names the client")
{
    Daemon daemon(greeter({"--accept-proxy", "127.0.0.0/30", "--allow", "192.0.2.0/24", "--allow", "127.0.0.4"}));
    for (const auto& header : {header_v1, header_v2}) {
        CHECK(greeting(daemon, "127.0.0.1", header) == "192.0.2.7");
        RawClient slow(daemon.port(), "127.0.0.2");
        for (const char byte : header)
            CHECK(slow.send(std::string(1, byte)));
        slow.send("what follows");
        slow.half_close();
        CHECK(slow.receive_all() == "192.0.2.7\nwhat follows");
        CHECK(slow.ended_in_order());
    }
    CHECK(holds(daemon.wait_for_line("session ended: completed"), "client=192.0.2.7:4000"));
    // Rules hold for who is named, and an address that is no proxy's names nobody.
    CHECK(greeting(daemon, "127.0.0.1", "PROXY TCP4 198.51.100.1 10.0.0.1 4000 443\r\n") == "reset");
    CHECK(holds(daemon.wait_for_line("session ended: denied: introduction: no rule allows it"),
                "client=198.51.100.1:4000"));
    RawClient direct(daemon.port(), "127.0.0.4");
    direct.send(header_v1);
    direct.half_close();
    CHECK(direct.receive_all() == "127.0.0.4\n" + header_v1);
    // A health check is the proxy's own connection, which no rule allows here.
    CHECK(greeting(daemon, "127.0.0.1", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s) == "reset");
    CHECK(holds(daemon.wait_for_line("session ended: denied", 2), "client=127.0.0.1:"));
}

TEST_CASE("access: a connection without a right PROXY header gets no byte, and the log says why")
{
    Daemon daemon(greeter({"--accept-proxy", "127.0.0.1", "--auth-timeout", "300ms", "--warm", "1"}));
    CHECK(greeting(daemon, "127.0.0.1", "GET / HTTP/1.0\r\n\r\n") == "end");
    auto line = daemon.wait_for_line("session ended: rejected");
    CHECK(holds(line, "the PROXY header of 127.0.0.1:"));
    CHECK(holds(line, " is malformed: there is no PROXY header"));
    CHECK(greeting(daemon, "127.0.0.1", "PROXY TCP4 192.0.2.7 10.0.0.1 4000 99999\r\n") == "end");
    CHECK(holds(daemon.wait_for_line("session ended: rejected", 2), "a port of it is no number from 0 to 65535"));
    auto too_long = header_v2;
    too_long[14] = '\x10';
    too_long[15] = '\1';
    CHECK(greeting(daemon, "127.0.0.1", too_long) == "end");
    CHECK(holds(daemon.wait_for_line("session ended: rejected", 3), "it is longer than 4096 bytes"));
    // Not in time, and not at all.
    CHECK(greeting(daemon, "127.0.0.1", header_v1.substr(0, 30)) == "end");
    CHECK(greeting(daemon, "127.0.0.1") == "end");
    CHECK(holds(daemon.wait_for_line("session ended: authentication timeout", 2), "client=127.0.0.1:"));
    CHECK(greeting(daemon, "127.0.0.1", header_v1) == "uid ");
}

TEST_CASE("access: forward goes by the client that the header names, and passes on what follows it")
{
    Daemon one({"exec", "--listen", "127.0.0.1:0", "--", "/bin/sh", "-c", "echo one; exec cat"});
    Daemon other({"exec", "--listen", "127.0.0.1:0", "--", "/bin/sh", "-c", "echo other; exec cat"});
    Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", one.address() + "," + other.address(), "--balance",
                   "source-hash", "--accept-proxy", "127.0.0.1", "--auth-timeout", "5s"});
    const auto server_of = [&](int client) {
        return greeting(daemon, "127.0.0.1", "PROXY TCP4 192.0.2." + std::to_string(client) + " 10.0.0.1 1 2\r\n");
    };
    std::string seen;
    for (int client = 1; client <= 12; ++client) {
        const auto server = server_of(client);
        CHECK(server_of(client) == server);
        seen += server;
    }
    CHECK(holds(seen, "one"));
    CHECK(holds(seen, "other"));
    RawClient client(daemon.port());
    client.send(header_v2 + "echo");
    client.half_close();
    client.receive_line();
    CHECK(client.receive_all() == "echo");
}

TEST_CASE("access: a client that names itself by header and hands its socket over loses no byte")
{
    Daemon daemon(
        {"exec", "--listen", "127.0.0.1:0", "--io", "socket", "--accept-proxy", "127.0.0.1", "--", "/bin/cat"});
    RawClient client(daemon.port());
    client.send(header_v1 + "for cat alone");
    client.half_close();
    CHECK(client.receive_all() == "for cat alone");
}

TEST_CASE("access: curl introduces its client")
{
    // An HTTP server of one line; the body is the client that the daemon knows.
    const auto script = "while read -r line && [ \"$line\" != \"$(printf '\\r')\" ]; do :; done; "
                        "printf 'HTTP/1.0 200 OK\\r\\n\\r\\n%s' \"$INSTANCER_CLIENT_ADDRESS\"";
    Daemon daemon({"exec", "--listen", "127.0.0.1:0", "--accept-proxy", "127.0.0.0/8", "--", "/bin/sh", "-c", script});
    const auto url = "http://" + daemon.address() + "/";
    Child with({"curl", "-sS", "--noproxy", "*", "--haproxy-protocol", "--interface", "127.0.0.5", url});
    CHECK(with.wait() == 0);
    CHECK(with.whole_log() == "127.0.0.5");
    Child without({"curl", "-sS", "--noproxy", "*", url});
    CHECK(without.wait() == 52);  // an empty reply
}

TEST_CASE("access: wrong rules, zones and networks are named with the right ones")
{
    CHECK(complaint({"--allow", "10.1.2.3/8"}) ==
          "instancerd: --allow: '10.1.2.3/8' has bits beyond its prefix; write 10.0.0.0/8 for the network, or 10.1.2.3 "
          "for the address alone\n");
    CHECK(holds(complaint({"--deny", "everybody"}), "instancerd: --deny: 'everybody' is neither a network, nor days"));
    CHECK(
        holds(complaint({"--deny", "all 25:00-26:00"}), "instancerd: --deny: '25:00-26:00' are no hours; write 08:00"));
    CHECK(complaint({"--accept-proxy", "10.0.0.0/99"}) ==
          "instancerd: --accept-proxy: '10.0.0.0/99' has no such prefix; write a number from 0 to 32 after the /\n");
    CHECK(complaint({"--time-zone", "Mars/Base", "--allow", "all"}) ==
          "instancerd: --time-zone: 'Mars/Base' is no time zone that this system knows; write one of "
          "/usr/share/zoneinfo, as in Europe/Berlin\n");
    CHECK(complaint({"--denied", "hold"}) ==
          "instancerd: --denied: needs rules; add --allow, --deny or --access-file, or remove this\n");

    const TemporaryDirectory directory;
    const auto rules = directory.file("rules", "allow all\ndeny 10.0.0.0/8 noon\n");
    const auto file = directory.file("c.json", R"({
  "services": {
    "s": { "mode": "exec", "listen": ":1", "command": ["/bin/cat"],
           "allow": ["10.0.0.0/8",
                     "fri-"],
           "time-zone": "Nowhere",
           "accept-proxy": "proxy.example",
           "max-connections": "many" },
    "t": { "mode": "exec", "listen": ":2", "command": ["/bin/cat"], "access-file": "rules" }
  }
})");
    Child check(instancerd({"check", "--config", file}));
    CHECK(check.wait() == 2);
    const auto log = check.whole_log();
    CHECK(holds(log, file + ":5: $.services.s.allow[1]: 'fri-' are no days; write mon-fri, or sat,sun"));
    CHECK(holds(log, file + ":6: $.services.s.time-zone: 'Nowhere' is no time zone that this system knows"));
    CHECK(holds(log, file + ":7: $.services.s.accept-proxy: 'proxy.example' is no network; write 10.0.0.0/8"));
    CHECK(holds(log, file + ":8: $.services.s.max-connections: is a string, not a number; write"));
    CHECK(holds(log, file + ":9: $.services.t.access-file: " + rules +
                         ":2: 'noon' is neither a network, nor days, nor hours"));
}
