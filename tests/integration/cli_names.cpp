// SPDX-License-Identifier: MIT
// Names that instancerd connects to: that cannot be looked up, take long to look up, or have several addresses.
#include <doctest/doctest.h>

#include <daemon.hpp>
#include <forward.hpp>
#include <listener.hpp>
#include <name_service.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using instancer::UniqueFd;
using service_test::eventually;

namespace {

Daemon start(const NameService& names, const Words& arguments)
{
    return Daemon(names.knowing(instancerd(arguments)), {}, -1);
}

/// A name server that is asked and never answers.
class SilentNameServer {
public:
    SilentNameServer() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        const SocketAddress own(address() + ":53");
        usable_ = ::bind(socket_.get(), own.get(), own.size()) == 0;
        if (!usable_)
            MESSAGE("skipped: port 53 cannot be listened on here");
    }

    bool is_usable() const { return usable_; }

    /// Nobody else of this machine is there.
    std::string address() const { return "127.83.73.13"; }

    bool is_asked() const
    {
        pollfd waiting{socket_.get(), POLLIN, 0};
        return ::poll(&waiting, 1, 20'000) == 1;
    }

private:
    UniqueFd socket_;
    bool usable_;
};

}  // namespace

TEST_CASE("names: one that cannot be looked up is a server that is down until it can")
{
    const NameService names;
    if (!names.is_usable())
        return;
    const Named good("good"), late("late");
    const auto unknown = "late.test:" + late.port();
    auto daemon = start(names, forward(unknown + "," + good.address()));
    CHECK(daemon.wait_for_line("upstream " + unknown + " is down: looking up late.test: ") != "");
    for (int i = 0; i < 3; ++i)
        CHECK(name_of_server(daemon) == "good");
    daemon.signal(SIGUSR1);
    CHECK(daemon.wait_for_line("upstream " + unknown + " is down connections=0 weight=1") != "");

    names.add("127.0.0.1 late.test");
    REQUIRE(daemon.wait_for_line("upstream " + unknown + " can be looked up again") != "");
    CHECK(eventually([&] { return name_of_server(daemon) == "late"; }));
    CHECK(daemon.count("looking up") == 1);
}

TEST_CASE("names: with none that can be looked up the daemon serves all the same, as when all servers are down")
{
    const NameService names;
    if (!names.is_usable())
        return;
    const Named late("late");
    const auto unknown = "late.test:" + late.port();
    SUBCASE("reset")
    {
        auto daemon = start(names, forward(unknown, {"--check-interval", "10h"}));
        RawClient client(daemon.port());
        CHECK(client.receive_all() == "");
        CHECK(client.ended_by_reset());
        CHECK(daemon.wait_for_line("session ended: backend unavailable: no upstream is up") != "");
        CHECK(daemon.count("is down") == 1);
    }
    SUBCASE("nobody listens")
    {
        auto daemon = start(names, forward(unknown, {"--when-down", "close-listener"}));
        REQUIRE(daemon.wait_for_line("the listeners are closed until one does") != "");
        CHECK_FALSE(RawClient(daemon.port()).connected());
        names.add("127.0.0.1 late.test");
        REQUIRE(daemon.wait_for_line("an upstream works again") != "");
        CHECK(name_of_server(daemon) == "late");
    }
}

TEST_CASE("names: a new list with one that cannot be looked up is taken")
{
    const NameService names;
    if (!names.is_usable())
        return;
    const TemporaryDirectory directory;
    const Named first("first"), second("second");
    const auto file = directory.file("list", first.address());
    auto daemon = start(names, {"forward", "--listen", "127.0.0.1:0", "--to-file", file});
    directory.file("list", "unknown.test:80\n" + second.address());
    daemon.signal(SIGHUP);
    CHECK(daemon.wait_for_line("read 2 upstreams from " + file) != "");
    CHECK(daemon.count("upstream unknown.test:80 is down: looking up unknown.test: ") == 1);
    for (int i = 0; i < 2; ++i)
        CHECK(name_of_server(daemon) == "second");
}

TEST_CASE("names: a name server that is silent holds up neither those who are known nor the end")
{
    const SilentNameServer server;
    const NameService names({}, server.address());
    if (!server.is_usable() || !names.is_usable())
        return;
    const Named good("good");
    auto daemon = start(names, forward("unknown.test:80," + good.address()));
    CHECK(daemon.wait_for_line("upstream unknown.test:80 is down: looking up unknown.test takes too long") != "");
    CHECK(name_of_server(daemon) == "good");
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("names: the end does not wait for the first look-up")
{
    const auto forwarding = forward("unknown.test:80");
    for (const auto& arguments : {forwarding, Words{"tunnel", "agent", "-p", "unknown.test:80"}}) {
        CAPTURE(arguments[0]);
        const SilentNameServer server;
        const NameService names({}, server.address());
        if (!server.is_usable() || !names.is_usable())
            return;
        Child child(names.knowing(instancerd(arguments)));
        REQUIRE(server.is_asked());
        child.signal(SIGTERM);
        CHECK(child.wait() == 0);
    }
}

TEST_CASE("names: an address that is silent costs its clients a moment once, and then nothing")
{
    const NameService names("127.0.0.2 pair.test\n127.0.0.3 pair.test\n");
    if (!names.is_usable())
        return;
    const Named good("good", "0", "127.0.0.3");
    const HangingListener silent("127.0.0.2:" + good.port());
    const auto pair = "upstream pair.test:" + good.port() + ": ";
    auto daemon = start(names, forward("pair.test:" + good.port(), {"--connect-timeout", "1h"}));
    for (int i = 0; i < 3; ++i)
        CHECK(name_of_server(daemon) == "good");
    CHECK(daemon.count(pair + "connecting to " + silent.address() + " takes too long; its other addresses") == 1);
    CHECK(daemon.count("takes too long") == 1);
}

TEST_CASE("names: check warns of those that cannot be looked up")
{
    const NameService names("127.0.0.1 known.test\n");
    if (!names.is_usable())
        return;
    const TemporaryDirectory directory;
    directory.file("list", "unknown.test:1\nknown.test:2\n127.0.0.1:3\nunix:/s\n");
    const auto file = directory.file("c.json", R"({ "services": {
        "web": { "mode": "forward", "listen": ":1", "to": ["nosuch.test:80", "known.test:80"] },
        "list": { "mode": "forward", "listen": ":2", "to-file": "list" },
        "agent": { "mode": "tunnel-agent", "proxy": "far.test:8443" } } })");
    Child check(names.knowing(instancerd({"check", "--config", file})));
    CHECK(check.wait() == 0);
    const auto says = check.whole_log();
    CHECK(says.find("warning: web: nosuch.test:80: looking up nosuch.test: ") != std::string::npos);
    CHECK(says.find("warning: list: unknown.test:1: looking up unknown.test: ") != std::string::npos);
    CHECK(says.find("warning: agent: far.test:8443: looking up far.test: ") != std::string::npos);
    CHECK(says.find("known.test:2") == std::string::npos);
    CHECK(says.find("127.0.0.1") == std::string::npos);
}
