// SPDX-License-Identifier: MIT
// Each claim is tested from inside an instance.
#include "docker_support.hpp"

#include <ifaddrs.h>
#include <linux/capability.h>
#include <service.hpp>
#include <sys/syscall.h>

using namespace docker_test;

namespace {

/// A server on every address of this host.
class HostServer {
public:
    HostServer() : acceptor_(context_, asio::ip::tcp::endpoint(asio::ip::tcp::v4(), 0)) { acceptor_.listen(128); }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    /// Every IPv4 address of this host now, bridges included.
    static std::vector<std::string> addresses()
    {
        std::vector<std::string> out;
        ifaddrs* first = nullptr;
        REQUIRE(::getifaddrs(&first) == 0);
        for (const auto* item = first; item; item = item->ifa_next) {
            if (!item->ifa_addr || item->ifa_addr->sa_family != AF_INET)
                continue;
            asio::ip::tcp::endpoint endpoint;
            std::memcpy(endpoint.data(), item->ifa_addr, sizeof(sockaddr_in));
            out.push_back(endpoint.address().to_string());
        }
        ::freeifaddrs(first);
        return out;
    }

private:
    asio::io_context context_;
    asio::ip::tcp::acceptor acceptor_;
};

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

/// A network outside of this host: a namespace of its own behind a pair of interfaces, with a server in it.
class Outside {
public:
    Outside()
    {
        made_ = run("ip netns add " + name_) &&
                run("ip link add " + name_ + " type veth peer name eth0 netns " + name_) &&
                run("ip addr add 198.51.100.1/30 dev " + name_ + " && ip link set " + name_ + " up") &&
                run("ip -n " + name_ + " addr add 198.51.100.2/30 dev eth0 && ip -n " + name_ + " link set eth0 up") &&
                run("ip netns exec " + name_ + " sh -c 'busybox nc -ll -p 7000 -e true & echo $! >/tmp/" + name_ + "'");
    }

    ~Outside()
    {
        run("kill $(cat /tmp/" + name_ + "); rm /tmp/" + name_);
        run("ip netns del " + name_);
        run("ip link del " + name_);
    }

    bool made() const noexcept { return made_; }

    static constexpr auto address = "198.51.100.2";
    static constexpr std::uint16_t port = 7000;

private:
    const std::string name_ = "ito" + std::to_string(::getpid());
    bool made_ = false;
};

/// Takes CAP_SYS_ADMIN away from this thread and those that it starts.
class WithoutSysAdmin {
public:
    WithoutSysAdmin()
    {
        ::syscall(SYS_capget, &header_, before_);
        __user_cap_data_struct less[2] = {before_[0], before_[1]};
        less[0].effective &= ~(1u << CAP_SYS_ADMIN);
        ::syscall(SYS_capset, &header_, less);
    }
    ~WithoutSysAdmin() { ::syscall(SYS_capset, &header_, before_); }

private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct before_[2] = {};
};

/// The address of an instance on its bridge network.
std::string address_of(const instancer::Instance& instance)
{
    const auto networks = Engine().inspect(instance.name())["NetworkSettings"]["Networks"];
    return networks.begin().value()["IPAddress"];
}

void check_host_and_neighbour_closed(Bench& bench)
{
    const HostServer host;
    const auto one = bench.start("one"), two = bench.start("two");
    CHECK(bench.reaches(one, "127.0.0.1", 9000));  // the probe can say yes
    for (const auto& address : HostServer::addresses())
        CHECK_MESSAGE(!bench.reaches(one, address, host.port()), address);
    const auto neighbour = address_of(two);
    if (!neighbour.empty()) {
        CHECK(neighbour != address_of(one));
        CHECK(!bench.reaches(one, neighbour, 9000));
    }
    CHECK(bench.inside(one, "grep -v lo /proc/net/if_inet6") == "");
}

}  // namespace

TEST_CASE("without egress an instance reaches no neighbour, no host and no outside, and has no network at all")
{
    const Outside outside;
    REQUIRE(outside.made());
    Bench bench(Bench::options());
    check_host_and_neighbour_closed(bench);
    const auto instance = bench.start();
    CHECK(!bench.reaches(instance, Outside::address, Outside::port));
    CHECK(bench.inside(instance, "ls /sys/class/net") == "lo\n");
}

TEST_CASE("with egress an instance reaches the outside, but neither a neighbour nor the host")
{
    const Outside outside;
    REQUIRE(outside.made());
    auto options = Bench::options();
    options.egress = true;
    {
        Bench bench(options);
        check_host_and_neighbour_closed(bench);
        CHECK(bench.reaches(bench.start(), Outside::address, Outside::port));
        CHECK(bench.events.all("warning").empty());
        CHECK(!run("iptables-save | grep -q 'instancer " + options.daemon + ".other'"));
        CHECK(run("iptables-save | grep -q 'instancer " + options.daemon + ".svc'"));
    }
    // Nobody waits for that.
    CHECK(service_test::eventually([&] {
        Engine engine;
        engine.call("GET", "/networks/" + options.daemon + ".svc");
        return engine.status() == 404 && !run("iptables-save | grep -q 'instancer " + options.daemon + "'");
    }));
}

TEST_CASE("a firewall rule that the host has lost is put back")
{
    auto options = Bench::options();
    options.egress = true;
    Bench bench(options);
    bench.start();
    const auto rule = "iptables-save | grep 'instancer " + options.daemon + ".svc'";
    REQUIRE(run(rule));
    REQUIRE(run("eval iptables $(" + rule + " | sed 's/^-A/-D/')"));
    REQUIRE(!run(rule));
    bench.until([&] { return !bench.events.all("warning").empty(); });
    CHECK(run(rule));
    CHECK(bench.events.all("warning").front().find("it is there again") != std::string::npos);
}

TEST_CASE("where namespaces may not be entered a closed bridge network takes their place")
{
    const Outside outside;
    REQUIRE(outside.made());
    std::optional<WithoutSysAdmin> without;
    without.emplace();
    Bench bench(Bench::options());
    without.reset();
    check_host_and_neighbour_closed(bench);
    const auto instance = bench.start();
    CHECK(!bench.reaches(instance, Outside::address, Outside::port));
    REQUIRE(bench.events.all("notice").size() == 1);
    CHECK(bench.events.all("notice")[0].find("CAP_SYS_ADMIN") != std::string::npos);
}

TEST_CASE("an address is not used again soon, and a network of a crashed run is used on")
{
    auto options = Bench::options();
    options.egress = true;
    Bench first(options);
    const auto one = first.start("one");
    const auto address = address_of(one);
    first.stop(one);
    const auto two = first.start("two");
    CHECK(address_of(two) != address);
    const auto kept = address_of(two);
    first.crash();

    Bench second(options);
    const auto found = second.await(second.backend().recover("svc"));
    REQUIRE((found && found->size() == 1));
    CHECK(second.inside((*found)[0].instance(), "echo here") == "here\n");
    CHECK(address_of(second.start("three")) != kept);
    second.stop((*found)[0].instance());
}
