// SPDX-License-Identifier: MIT
// The cap that all services of a configuration share.
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;

namespace {

/// Options of a service whose instances send each client back what that sends first.
const std::string answering = R"("io": "port", "auth": "source", "command": ["python3", "-c", ")"
                              R"(import socket, sys\nserver = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n)"
                              R"(while True:\n  client = server.accept()[0]\n  client.sendall(client.recv(9))\n)"
                              R"(  client.close();", "{port}"])";

/// Two services that share room for one instance, on ports of their own.
class TwoServices {
public:
    explicit TwoServices(const std::string& options)
        : daemon_({"run", "--config",
                   directory_.file("c.json", R"({ "log-level": "debug", "max-instances": 1, "services": {
            "busy": { "mode": "exec", "listen": "127.0.0.1:0", )" +
                                                 options + R"( },
            "quiet": { "mode": "exec", "listen": "127.0.0.1:0", )" +
                                                 options + " } } }")},
                  2)
    {
    }

    Daemon& daemon() { return daemon_; }

    std::uint16_t port(const std::string& service) const
    {
        const bool first = daemon_.wait_for_line(": listening on ", 1).find(service + ":") != std::string::npos;
        return daemon_.port(first ? 1 : 2);
    }

    /// A client that the service knows of, and that has sent `data`.
    std::unique_ptr<RawClient> join(const std::string& service, const std::string& data)
    {
        auto client = std::make_unique<RawClient>(port(service));
        REQUIRE(daemon_.wait_for_line("session started", ++clients_) != "");
        client->send(data);
        return client;
    }

private:
    TemporaryDirectory directory_;
    Daemon daemon_;
    std::size_t clients_ = 0;
};

}  // namespace

TEST_CASE("budget: a service with a queue does not starve the only client of another one")
{
    TwoServices services(R"("command": ["cat"], "when-full": "queue")");
    auto served = services.join("busy", "a\n");
    CHECK(served->receive_line() == "a");
    std::vector<std::unique_ptr<RawClient>> others;
    for (int i = 0; i < 6; ++i) {
        others.push_back(services.join("busy", "x\n"));
        others.back()->half_close();
    }
    auto lonely = services.join("quiet", "q\n");
    served->half_close();
    CHECK(lonely->receive_line() == "q");
    // Of the seven instances of the busy service, some started later.
    REQUIRE(services.daemon().wait_for_line(" quiet/") != "");
    const auto log = services.daemon().log();
    std::istringstream before(log.substr(0, log.find(" quiet/")));
    int started = 0;
    for (std::string line; std::getline(before, line);)
        started += line.find("instance started") != line.npos ? 1 : 0;
    CHECK(started <= 4);
}

TEST_CASE("budget: an instance that nobody uses makes room for a client of another service")
{
    TwoServices services(answering);
    CHECK(services.join("busy", "a\n")->receive_line() == "a");
    REQUIRE(services.daemon().wait_for_line("session ended: ") != "");
    CHECK(services.join("quiet", "q\n")->receive_line() == "q");
    CHECK(services.daemon().wait_for_line("instance ended: culled: it had no client").find("busy/") !=
          std::string::npos);
}

TEST_CASE("budget: one owner may have so many instances in all services, and the unused ones make room")
{
    const TemporaryDirectory directory;
    const auto service = R"({ "mode": "exec", "listen": "127.0.0.1:0", )" + answering + " }";
    const auto config = directory.file("c.json", "{ \"max-per-owner\": 1, \"services\": { \"a\": " + service +
                                                     ", \"b\": " + service + " } }");
    Daemon daemon({"run", "--config", config}, 2);
    // It has its instance as long as it says nothing.
    RawClient one(daemon.port(1));
    REQUIRE(daemon.wait_for_line("instance started") != "");
    RawClient refused(daemon.port(2));
    CHECK(refused.receive_all() == "");
    CHECK(daemon.wait_for_line("refused: its owner has as many as one may have in all services (the daemon's "
                               "max-per-owner): 1 in all") != "");
    RawClient other(daemon.port(2), "127.0.0.2");
    CHECK(other.send("other"));
    CHECK(other.receive(5) == "other");
    CHECK(one.send("one"));
    CHECK(one.receive_all() == "one");
    one.close();
    REQUIRE(daemon.wait_for_line("client=127.0.0.1:", 2) != "");
    RawClient again(daemon.port(2));
    CHECK(again.send("again"));
    CHECK(again.receive(5) == "again");
    CHECK(daemon.wait_for_line("instance ended: culled: it had no client") != "");
}
