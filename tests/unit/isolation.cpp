// SPDX-License-Identifier: MIT
// How services are graded, row by row.
#include <algorithm>

#include <doctest/doctest.h>

#include "isolation/isolation.hpp"

using namespace instancer;
using namespace instancer::daemon;

namespace {

/// As isolated as processes can be.
ServiceSettings good_exec()
{
    ServiceSettings service("s", Mode::exec);
    service.users.emplace(70000, 70063);
    service.limits.memory = 64 << 20;
    service.limits.pids = 64;
    service.limits.cpus = 1;
    service.auth = Auth::token;
    return service;
}

ServiceSettings good_docker()
{
    ServiceSettings service("s", Mode::docker);
    service.auth = Auth::token;
    return service;
}

std::vector<IsolationRemark> grade(const ServiceSettings& service, bool as_root = true)
{
    Settings settings;
    settings.services = {service};
    return grade_isolation(settings, settings.services.front(), as_root);
}

/// Whether the remarks hold one of that worth with that reason and remedy.
bool remarks(const ServiceSettings& service, Isolation worth, const std::string& reason, const std::string& remedy,
             bool as_root = true)
{
    const auto all = grade(service, as_root);
    const bool sorted =
        std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.isolation > b.isolation; });
    CHECK(sorted);
    return std::any_of(all.begin(), all.end(), [&](const auto& remark) {
        return remark.isolation == worth && remark.text.find(reason) == 0 && remark.text.ends_with("; " + remedy);
    });
}

}  // namespace

TEST_CASE("isolation: containers with the defaults, whose clients are told apart, are isolated well")
{
    CHECK(grade(good_docker()).empty());
    CHECK(name_of(Isolation::strong) == "strong");
}

TEST_CASE("isolation: containers without an engine are graded as those of one")
{
    ServiceSettings service("s", Mode::oci);
    service.auth = Auth::token;
    CHECK(grade(service).empty());
    CHECK(remarks(service, Isolation::fair, "its programs are the daemon's own user to this machine",
                  "start instancerd as root", false));
    service.docker.read_only = false;  // What is written is in memory, and limited.
    CHECK(grade(service).empty());
    service.user = "0:0";
    CHECK(remarks(service, Isolation::weak, "its programs are root in their containers", "add --user 65534"));
    service.user.clear();
    service.limits.tmp = 0;
    CHECK(remarks(service, Isolation::fair, "/tmp of a container has no limit", "add --limit-tmp 64m"));
}

TEST_CASE("isolation: processes in a sandbox are graded as containers")
{
    ServiceSettings service("s", Mode::exec);
    service.sandbox = true;
    service.auth = Auth::token;
    service.complete();
    CHECK(grade(service).empty());
    service.user = "root";
    CHECK(remarks(service, Isolation::weak, "its programs are root in their containers", "add --user 65534"));
}

TEST_CASE("isolation: processes are fair at best")
{
    const auto all = grade(good_exec());
    REQUIRE(all.size() == 1);
    CHECK(all[0].isolation == Isolation::fair);
    CHECK(all[0].text == "its programs reach the network, and every file that their user may read; add --sandbox");
}

TEST_CASE("isolation: users")
{
    auto exec = good_exec();
    exec.users.reset();
    CHECK(remarks(exec, Isolation::weak, "its programs are root, who", "add --user 70000-70063"));
    CHECK(remarks(exec, Isolation::weak, "its instances share a user", "add --user 70000-70063", false));
    exec.user = "nobody";
    CHECK(remarks(exec, Isolation::weak, "its instances share a user", "add --user 70000-70063"));
    CHECK_FALSE(remarks(exec, Isolation::weak, "its programs are root", "add --user 70000-70063"));
    for (const auto* root : {"root", "0", "00", "0:0", "root:nogroup"}) {
        exec.user = root;
        CHECK(remarks(exec, Isolation::weak, "its programs are root, who", "add --user 70000-70063", false));
        auto docker = good_docker();
        docker.user = root;
        CHECK(remarks(docker, Isolation::weak, "its programs are root in their", "add --user 65534"));
    }
}

TEST_CASE("isolation: limits of one instance")
{
    for (auto service : {good_exec(), good_docker()}) {
        CAPTURE(name_of(service.mode));
        service.limits.memory = 0;
        CHECK(remarks(service, Isolation::weak, "one instance can take all memory", "add --limit-memory 256m"));
        service.limits.pids = 0;
        CHECK(remarks(service, Isolation::weak, "one instance can start processes", "add --limit-pids 64"));
        service.limits.cpus = 0;
        CHECK(remarks(service, Isolation::fair, "one instance can take all processors", "add --limit-cpus 1"));
    }
    auto docker = good_docker();
    docker.limits.log = 0;
    CHECK(remarks(docker, Isolation::weak, "the output of its containers", "add --limit-log 1m"));
    docker.docker.io = DockerIo::stdio;
    CHECK(grade(docker).empty());
    docker.limits.tmp = 0;
    CHECK(remarks(docker, Isolation::fair, "/tmp of a container has no limit", "add --limit-tmp 64m"));
}

TEST_CASE("isolation: what instances reach")
{
    auto docker = good_docker();
    docker.docker.read_only = false;
    CHECK(remarks(docker, Isolation::weak, "its containers can fill the disk", "remove --writable"));
    docker.docker.egress = true;
    CHECK(remarks(docker, Isolation::fair, "its containers can attack others", "remove --egress"));
}

TEST_CASE("isolation: how many instances there can be, for how long and for whom")
{
    for (auto service : {good_exec(), good_docker()}) {
        CAPTURE(name_of(service.mode));
        service.pool.max_instances = 0;
        CHECK(remarks(service, Isolation::weak, "nothing limits how many instances", "add --max-instances 64"));
        Settings settings;
        settings.max_instances = 100;
        settings.services = {service};
        CHECK(grade_isolation(settings, settings.services.front(), true).size() == grade(service).size() - 1);

        service.pool.idle = {};
        CHECK(remarks(service, Isolation::fair, "an instance whose client stays", "add --ttl 30m"));
        service.auth = Auth::open;
        CHECK(remarks(service, Isolation::fair, "nobody says who it is", "add --max-per-source 4"));
        service.max_per_source = 4;
        CHECK_FALSE(remarks(service, Isolation::fair, "nobody says who it is", "add --max-per-source 4"));
        service.auth = Auth::shared;
        CHECK(remarks(service, Isolation::fair, "nobody says who it is", "use --auth prompt"));
    }
}

TEST_CASE("isolation: every way that tells clients apart is as good")
{
    auto service = good_docker();
    for (const auto auth :
         {Auth::source, Auth::token, Auth::prompt, Auth::signed_token, Auth::webhook, Auth::ctfd, Auth::rctf}) {
        CAPTURE(static_cast<int>(auth));
        service.auth = auth;
        CHECK(grade(service).empty());
    }
}

TEST_CASE("isolation: what starts no instances is not graded, and a configuration is answered in its own words")
{
    CHECK(grade(ServiceSettings("s", Mode::forward)).empty());
    Settings settings;
    settings.file = "/c.json";
    auto service = good_exec();
    service.limits.pids = 0;
    settings.services = {service};
    const auto all = grade_isolation(settings, settings.services.front(), true);
    REQUIRE(all.size() == 2);
    CHECK(all[0].text.ends_with("; add \"limits\": {\"pids\": 64}"));
    CHECK(all[1].text.ends_with("; add \"sandbox\": true"));
}
