// SPDX-License-Identifier: MIT
// Who may use a reverse tunnel, its control port, and what is said of files that are wrong.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <service.hpp>
#include <temporary_directory.hpp>
#include <tunnel.hpp>
#include <tunnel_peer.hpp>

using namespace tunnel_test;

namespace {

/// Runs SQL, as another program that has the database would, and returns what it gives.
std::string sql(const std::string& file, const std::string& statement)
{
    Child child({"/usr/bin/python3", "-I", "-c",
                 "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n"
                 "print(c.execute(sys.argv[2]).fetchall())\nc.commit()",
                 file, statement});
    CHECK(child.wait() == 0);
    return child.whole_log();
}

/// A database with users, as the original made it.
std::string make_users(const TemporaryDirectory& directory, const std::vector<std::string>& names)
{
    const auto file = directory.path("users.db");
    sql(file,
        "CREATE TABLE user(id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, password TEXT NOT "
        "NULL, ip VARCHAR UNIQUE, last_login TIMESTAMP)");
    for (const auto& name : names)
        sql(file, "INSERT INTO user(username, password) VALUES('" + name + "', 'secret')");
    return file;
}

bool is_let_in(const TunnelServer& server, const std::string& from)
{
    RawClient client(server.port(), from);
    if (client.receive_line() == "a")
        return true;
    CHECK(client.ended_in_order());
    return false;
}

/// What is wrong, by a run that must not get far.
std::string complaint(const Words& words)
{
    Child child(instancerd(words));
    CHECK(child.wait() == 2);
    return child.whole_log();
}

}  // namespace

TEST_CASE("tunnel: users of the database and of the configuration are let in, and nobody else gets a byte")
{
    const TemporaryDirectory directory;
    const auto users = make_users(directory, {"tom", "ann"});
    const auto config = directory.file("config.json", "{\"controller_user\": {\"eve\": \"127.0.0.9\"},\n"
                                                      " \"proxy_client_whitelist\": [\"127.0.0.1\"]}");
    const Named a("a");
    TunnelServer server({a.address()}, {"-c", config, "-d", users}, {});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    CHECK(is_let_in(server, "127.0.0.9"));
    CHECK(!is_let_in(server, "127.0.0.2"));
    CHECK(server.wait_for_line("session ended: rejected: authentication: 127.0.0.2 is no user's address") != "");

    CHECK(server.control("set userip tom 127.0.0.2\n") == "Done\n");
    CHECK(is_let_in(server, "127.0.0.2"));
    CHECK(sql(users, "SELECT username, ip FROM user WHERE last_login IS NOT NULL") == "[('tom', '127.0.0.2')]\n");
    CHECK(server.control("set userip ann 127.0.0.2\n").starts_with("error: 127.0.0.2 is the address of tom"));
    // Two of them may have none.
    CHECK(server.control("set userip tom\nset userip ann\n") == "Done\nDone\n");
    CHECK(!is_let_in(server, "127.0.0.2"));
    CHECK(sql(users, "SELECT ip FROM user") == "[(None,), (None,)]\n");
    CHECK(server.control("set userip nobody 127.0.0.3\n") == "error: there is no user 'nobody'\n");
    CHECK(server.control("set userip 127.0.0.3\n").starts_with("error: whose address? There are 2 users"));
    CHECK(server.control("set userip tom 300.1.1.1\n") == "error: '300.1.1.1' is no IP address\n");
    // What somebody else writes holds at once too.
    sql(users, "UPDATE user SET ip = '127.0.0.4' WHERE username = 'ann'");
    CHECK(is_let_in(server, "127.0.0.4"));
    sql(users, "DELETE FROM user WHERE username = 'tom'");
    CHECK(server.control("set userip 127.0.0.5\n") == "Done\n");
    CHECK(is_let_in(server, "127.0.0.5"));
    CHECK(server.log().find("secret") == std::string::npos);
}

TEST_CASE("tunnel: while another process has the database, users wait and those that are in go on")
{
    const TemporaryDirectory directory;
    const auto users = make_users(directory, {"tom"});
    sql(users, "UPDATE user SET ip = '127.0.0.2'");
    const Named a("a");
    TunnelServer server({a.address()}, {"-d", users}, {"--agents", "127.0.0.1"});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    RawClient first(server.port(), "127.0.0.2");
    CHECK(first.receive_line() == "a");

    Child holder({"/usr/bin/python3", "-I", "-c",
                  "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1])\nc.execute('BEGIN EXCLUSIVE')\n"
                  "print('held', flush=True)\ntime.sleep(60)",
                  users});
    REQUIRE(holder.wait_for_line("held") != "");
    RawClient second(server.port(), "127.0.0.2");
    for (int i = 0; i < 20; ++i) {
        first.send("ping\n");
        REQUIRE(first.receive_line() == "ping");
    }
    CHECK(second.receives_nothing());
    holder.signal(SIGKILL);
    CHECK(second.receive_line() == "a");
}

TEST_CASE("tunnel: users who come while another process keeps the database wait all at once, not one after another")
{
    const TemporaryDirectory directory;
    const auto users = make_users(directory, {"tom"});
    TunnelServer server({"127.0.0.1:1"}, {"-d", users}, {"--agents", "127.0.0.1"});
    Child holder({"/usr/bin/python3", "-I", "-c",
                  "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1])\nc.execute('BEGIN EXCLUSIVE')\n"
                  "print('held', flush=True)\ntime.sleep(60)",
                  users});
    REQUIRE(holder.wait_for_line("held") != "");
    // One after another they would take longer than a client waits here.
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 20; ++i)
        clients.push_back(std::make_unique<RawClient>(server.port(), "127.0.0.2"));
    for (const auto& client : clients) {
        CHECK(client->receive_all() == "");
        REQUIRE(client->ended_in_order());
    }
    CHECK(server.wait_for_line("rejected: authentication: " + users + ": database is locked", 20) != "");
    CHECK(server.control("set userip tom 127.0.0.2\n") == "error: " + users + ": database is locked\n");
    holder.signal(SIGKILL);
    REQUIRE(holder.wait());
    CHECK(server.control("set userip tom 127.0.0.2\n") == "Done\n");
}

TEST_CASE("tunnel: a database that takes the place of another one holds at once")
{
    const TemporaryDirectory directory, other;
    const auto users = make_users(directory, {"tom"});
    sql(users, "UPDATE user SET ip = '127.0.0.2'");
    const auto fresh = make_users(other, {"ann"});
    sql(fresh, "UPDATE user SET ip = '127.0.0.3'");
    const Named a("a");
    TunnelServer server({a.address()}, {"-d", users}, {"--agents", "127.0.0.1"});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    CHECK(is_let_in(server, "127.0.0.2"));

    std::filesystem::remove(users);
    CHECK(!is_let_in(server, "127.0.0.2"));
    CHECK(server.wait_for_line("rejected: authentication: " + users + ": there is no such user database") != "");

    std::filesystem::rename(fresh, users);
    CHECK(!is_let_in(server, "127.0.0.2"));
    CHECK(is_let_in(server, "127.0.0.3"));
    CHECK(server.control("set userip ann 127.0.0.4\n") == "Done\n");
    CHECK(sql(users, "SELECT ip FROM user") == "[('127.0.0.4',)]\n");
}

TEST_CASE("tunnel: agents of other addresses are not let in; the list is read again on SIGHUP")
{
    const TemporaryDirectory directory;
    const auto config = directory.file("config.json", "{\"proxy_client_whitelist\": [\"127.0.0.8\"]}");
    const Named a("a");
    TunnelServer server({a.address()}, {"--config", config}, {"--any-user"});
    TunnelAgent agent(server);
    CHECK(server.wait_for_line("is not let in: its address is not on the list of agents") != "");
    directory.file("config.json", "{\"proxy_client_whitelist\": [\"127.0.0.1\"");
    server.signal(SIGHUP);
    CHECK(server.wait_for_line("users, agents and routes stay as they were") != "");
    directory.file("config.json", "{\"proxy_client_whitelist\": [\"127.0.0.1\"]}");
    server.signal(SIGHUP);
    CHECK(server.has_agent());
}

TEST_CASE("tunnel: connections that are not of listed agents do not fill the log")
{
    const Named a("a");
    TunnelServer server({a.address()}, {}, {"--any-user", "--agents", "127.0.0.8"});
    for (int i = 0; i < 30; ++i)
        CHECK(RawClient(server.agents_port()).receive_all() == "");
    server.signal(SIGTERM);
    CHECK(server.wait() == 0);
    const auto log = server.whole_log();
    CHECK_MESSAGE(log.find("further agents that are not on the list were not let in: 25") != log.npos, log);
    CHECK(server.count("its address is not on the list of agents") == 5);
}

TEST_CASE("tunnel: SIGHUP says that a changed routing table takes a restart, and the routes go on")
{
    const TemporaryDirectory directory;
    const Named a("a");
    const auto routes = directory.file("routes.txt", "127.0.0.1:0 " + a.address() + "\n");
    TunnelServer server({}, {"--routing", routes});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    const std::string warning = "does not hold the routes that are served; other routes take a restart";
    directory.file("routes.txt", "# the same\n127.0.0.1:0\t" + a.address() + "\n");
    server.signal(SIGHUP);
    server.signal(SIGUSR1);
    REQUIRE(server.wait_for_line("0 sessions") != "");
    CHECK(server.count(warning) == 0);
    directory.file("routes.txt", "127.0.0.1:0 10.0.0.1:80\n");
    server.signal(SIGHUP);
    CHECK(server.wait_for_line(routes + " " + warning) != "");
    CHECK(RawClient(server.port()).receive_line() == "a");
}

TEST_CASE("tunnel: the common rules and limits hold for the users of all routes together")
{
    const Named a("a");
    TunnelServer server({a.address(), a.address()}, {"--deny", "127.0.0.2", "--max-connections", "2"});
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    RawClient denied(server.port(1), "127.0.0.2");
    CHECK(denied.receive_all() == "");
    CHECK(denied.ended_by_reset());
    RawClient first(server.port(1)), second(server.port(2));
    CHECK(first.receive_line() == "a");
    CHECK(second.receive_line() == "a");
    RawClient third(server.port(1));
    CHECK(third.receive_all() == "");
    CHECK(third.ended_by_reset());
}

TEST_CASE("tunnel: control port: sessions, disconnect, loglvl, and whatever else comes")
{
    const Named a("a");
    TunnelServer server({a.address()});
    CHECK(server.control("sessions\n") == "tunnel_dict:\n\ntotal sessions: 0\n");
    TunnelAgent agent(server);
    REQUIRE(server.has_agent());
    RawClient client(server.port());
    CHECK(client.receive_line() == "a");
    const auto port = std::to_string(client.local_port());
    CHECK(server.control("sessions") ==
          "tunnel_dict:\n('127.0.0.1', " + port + ")->('127.0.0.1', " + a.port() + "): opened \n\ntotal sessions: 1\n");
    CHECK(server.control("disconnect 127.0.0.1:1\n") == "error: there is no session of '127.0.0.1:1'\n");
    CHECK(server.control("disconnect 127.0.0.1:" + port + "\r\n") == "system disconnected: 127.0.0.1:" + port + "\n");
    CHECK(client.receive_all() == "");
    CHECK(client.ended_by_reset());

    CHECK(server.control("set loglvl 10\n") == "set log level to DEBUG\n");
    RawClient(server.port()).receive_line();
    CHECK(server.wait_for_line("debug tunnel-server: session started") != "");
    CHECK(server.control("set loglvl 30\nset loglvl 3\n") == "set log level to WARNING\nset log level to INFO\n");
    CHECK(server.control("set loglvl loud\n").ends_with("\nno change made\n"));
    CHECK(server.control("set userip tom 1.2.3.4\n").starts_with("error: there is no user database"));
    CHECK(server.control("set\nhelp\n\nsessions now\n") == "unknown command\nunknown command\nunknown command\n");

    // What a page of anybody can have a browser send.
    CHECK(server.control("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nset loglvl 50\r\n") == "");
    const auto cut = server.control("sessions\nGET /" + std::string(10'000, 'x') + " HTTP/1.1\r\nset loglvl 50\r\n");
    CHECK(cut.starts_with("tunnel_dict:\n"));
    CHECK(cut.find("set log level") == cut.npos);
    CHECK(server.control(std::string("\x16\3\1\2\0\1\0\nset loglvl 50\n", 23)) == "");
    RawClient open(server.port());
    CHECK(open.receive_line() == "a");
    server.signal(SIGUSR1);
    CHECK(server.wait_for_line(" is connected, ") != "");
    CHECK(server.wait_for_line("session is open") != "");

    std::string endless(1'000'000, 'x');
    endless += '\n';
    server.control(endless);
    server.control(random_bytes(100'000));
    RawClient(server.control_port()).send("sess");
    RawClient aborted(server.control_port());
    aborted.send("sessions\nsessions\n");
    aborted.reset();
    CHECK(server.control("sessions\n").starts_with("tunnel_dict:\n"));
}

TEST_CASE("tunnel: the original's command lines and files; the log goes to a file, and to a new one on SIGHUP")
{
    const TemporaryDirectory directory;
    const auto users = make_users(directory, {"tom"});
    const Named a("a");
    const auto routes =
        directory.file("routes.txt", "# users of the first floor\n\n127.0.0.1:0 " + a.address() + " # a\n");
    const auto config = directory.file("config.json", "{\"proxy_client_whitelist\": [\"127.0.0.1\"]}");
    const auto log = directory.path("log");
    Child server(instancerd({"tunnel", "server", "-t", routes, "-c", config, "-p", "127.0.0.1:0", "-C", "127.0.0.1:0",
                             "-v", "10", "-d", users}));
    CHECK(server.wait_for_line("tunnel-server (agents): listening on ") != "");
    CHECK(server.count("the control port asks for no password") == 0);
    Child open(instancerd(
        {"tunnel", "server", "-t", routes, "-c", config, "-p", "127.0.0.1:0", "-C", "0.0.0.0:0", "--any-user"}));
    CHECK(open.wait_for_line("the control port asks for no password") != "");
    Child agent(instancerd({"tunnel", "agent", "-p", "127.0.0.1:1", "-v", "3", "-l", log}));
    const auto logged = [&](const std::string& file, const std::string& text) {
        return service_test::eventually([&] {
            std::ifstream stream(file);
            return std::string(std::istreambuf_iterator<char>(stream), {}).find(text) != std::string::npos;
        });
    };
    CHECK(logged(log, "the server 127.0.0.1:1 cannot be reached"));
    std::filesystem::rename(log, directory.path("old"));
    agent.signal(SIGHUP);
    CHECK(service_test::eventually([&] { return std::filesystem::exists(log); }));
    agent.signal(SIGTERM);
    CHECK(agent.wait() == 0);
    CHECK(logged(log, "ended"));
    CHECK(agent.log() == "");
}

TEST_CASE("tunnel: in the configuration, beside other services")
{
    const TemporaryDirectory directory;
    const Named a("a");
    const auto probe = std::make_unique<Listener>();
    const auto agents = probe->address();
    const auto file = directory.file("daemon.json", R"({ "services": {
        "public": { "mode": "tunnel-server", "proxy": ")" +
                                                        agents + R"(", "control": "off", "any-user": true,
                    "agents": "127.0.0.1", "routes": ["127.0.0.1:0 )" +
                                                        a.address() + R"("] },
        "inside": { "mode": "tunnel-agent", "proxy": ")" +
                                                        agents + R"(", "reconnect": "100ms" } } })");
    Child check(instancerd({"check", "--config", file}));
    CHECK(check.wait() == 0);
    CHECK(check.whole_log() == "2 services, nothing wrong\n");
    // Its port is free again when nobody holds it.
    const_cast<Listener&>(*probe).close();
    Child daemon(instancerd({"run", "--config", file}));
    const auto line = daemon.wait_for_line("public: listening on ");
    REQUIRE(line != "");
    RawClient client(static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1))));
    CHECK(client.receive_line() == "a");
    client.half_close();
    CHECK(client.receive_all() == "");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
}

TEST_CASE("tunnel: what is wrong with files and options is said by place, with the remedy")
{
    const TemporaryDirectory directory;
    const auto with = [](const Words& more) {
        Words words = {"tunnel", "server"};
        words.insert(words.end(), more.begin(), more.end());
        return complaint(words);
    };
    const Words route = {"--route", "127.0.0.1:0 10.0.0.1:80"};
    const auto contains = [](const std::string& text, const std::string& part) {
        CAPTURE(text);
        CHECK(text.find(part) != std::string::npos);
    };
    const auto bare = with({});
    contains(bare, "has no route; add --routing FILE or --route '0.0.0.0:8080 10.0.0.1:80'");
    contains(bare, "no agent may connect; add --agents ADDRESS");
    contains(bare, "no user may connect; add --db FILE");
    const auto routes = directory.file("routes", "127.0.0.1:1 10.0.0.1:80\n127.0.0.1:2\n");
    contains(with({"-t", routes}), routes + ":2: is no route; write LISTEN_IP:PORT TARGET_IP:PORT");
    const auto names = directory.file("names", "127.0.0.1:1 host:80\n");
    contains(with({"-t", names}), names + ":1: the target 'host:80' is no IPv4 address and port");
    const auto twice = directory.file("twice", "0.0.0.0:1 10.0.0.1:80\n127.0.0.1:1 10.0.0.1:81\n");
    contains(with({"-t", twice}), twice + ":2: 127.0.0.1:1 is taken by the route of 0.0.0.0:1");
    contains(with({"-t", "/nowhere/routes"}), "/nowhere/routes");
    const auto config = directory.file("config", "{\n \"controller_users\": {}}");
    contains(with({"-c", config}), config + ":2: $.controller_users: is unknown; did you mean controller_user?");
    const auto address = directory.file("address", "{\"proxy_client_whitelist\": [\"here\"]}");
    contains(with({"-c", address}), "is no address; write one in quotes");
    contains(with({"-d", directory.path("none.db")}), "none.db: there is no such user database; make it by: sqlite3 ");
    contains(with({"-d", directory.path()}), ": is no regular file, which a user database is");
    const auto text = directory.file("text.db", "this is no database, but text that is long enough");
    contains(with({"-d", text}), "text.db: file is not a database");
    sql(directory.path("odd.db"), "CREATE TABLE user(id INTEGER)");
    contains(with({"-d", directory.path("odd.db")}), "no such column: username; make it by: sqlite3 ");
    contains(with({"-v", "5"}), "--verbose: '5' is no level");
    contains(with({"--any-user", "-d", directory.path("odd.db")}), "--any-user: cannot work together with --db");
    contains(complaint({"tunnel"}), "which end of the tunnel?");
    contains(complaint({"tunnel", "agent"}), "has no server to connect to; add --proxy host:8443");
    contains(complaint({"tunnel", "agent", "-p", ":80"}), "names no server");
    contains(complaint({"tunnel", "agent", "-p", "h:80", "--targets", "10.0.0.1:http"}), "the port of '10.0.0.1:http'");
    contains(complaint({"tunnel", "agent", "-p", "h:80", "--listen", ":1"}),
             "--listen works only with instancerd exec");
}
