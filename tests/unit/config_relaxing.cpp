// SPDX-License-Identifier: MIT
// What makes containers worse walls: how it is read, checked and graded.
#include <algorithm>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <temporary_directory.hpp>

#include "config_problems.hpp"
#include "relaxing/relaxing.hpp"

using namespace config_test;
using instancer::ContainerPrivileges;
using instancer::daemon::Isolation;

namespace {

Settings read(const std::string& body)
{
    Problems found;
    return read_config("/c.json", service("\"mode\": \"docker\", \"listen\": \":1\", \"image\": \"i\", " + body),
                       found);
}

ContainerPrivileges privileges_of(const std::string& body)
{
    const auto privileges = container_privileges(read(body).services.at(0).relaxing);
    REQUIRE(privileges);
    return *privileges;
}

void refuses(const std::string& body, const std::string& why)
{
    const auto all = docker_problems("\"stdio\": true, " + body);
    REQUIRE_MESSAGE(all.size() == 1, body);
    CHECK_MESSAGE(all[0].find(why) != std::string::npos, all[0]);
}

}  // namespace

TEST_CASE("relaxing: capabilities by any spelling, devices with their groups, a filter or none")
{
    const auto nothing = privileges_of("\"stdio\": true");
    CHECK_FALSE(nothing.setuid);
    CHECK_FALSE(nothing.seccomp);
    const auto all = privileges_of("\"allow-setuid\": true, \"cap-add\": [\"net_raw\", \"CAP_CHOWN\"], "
                                   "\"devices\": \"/dev/null\", \"seccomp\": \"off\"");
    CHECK(all.setuid);
    CHECK(all.capabilities == std::vector<std::string>{"CAP_NET_RAW", "CAP_CHOWN"});
    CHECK(all.devices == std::vector<std::string>{"/dev/null"});
    CHECK(all.groups.empty());  // It is root's, and everybody may use it.
    CHECK(all.seccomp == "");
    const daemon_test::TemporaryDirectory folder;
    const auto filter = folder.file("filter.json", "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}");
    CHECK(privileges_of("\"seccomp\": \"" + filter + "\"").seccomp == "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}");
}

TEST_CASE("relaxing: what cannot work is refused")
{
    refuses("\"cap-add\": \"NET_RAWW\"", "'NET_RAWW' is no capability; write one of capabilities(7)");
    refuses("\"cap-add\": \"NET_RAW\"", "gives an ordinary user nothing; add \"user\": \"0\"");
    refuses("\"devices\": \"kvm\"", "is no absolute path");
    refuses("\"devices\": \"/etc/passwd\"", "is no device; correct the path, or use \"mounts\"");
    refuses("\"seccomp\": \"/no/such\"", "/no/such");
    const daemon_test::TemporaryDirectory folder;
    const auto refuses_filter = [&](const std::string& text) {
        const auto path = folder.file("filter.json", text);
        refuses("\"seccomp\": \"" + path + "\"", path + ": the ");
        refuses("\"seccomp\": \"" + path + "\"", "write JSON with a defaultAction");
        CHECK_FALSE(container_privileges(read("\"seccomp\": \"" + path + "\"").services.at(0).relaxing));
    };
    refuses_filter("[]");
    refuses_filter(R"({"defaultAction": 1})");
    for (
        const auto* syscalls :
        {"1", "[1]", R"([{}])", R"([{"names": "mkdir", "action": "SCMP_ACT_ALLOW"}])",
         R"([{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "includes": 1}])",
         R"([{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["X"]}, "excludes": {"caps": 1}}])"})
        refuses_filter(R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": )" + std::string(syscalls) + "}");
    const auto nulls = folder.file("nulls.json", R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": null, "excludes": {"caps": null}}]})");
    CHECK(docker_problems("\"stdio\": true, \"seccomp\": \"" + nulls + "\"").empty());
    CHECK(docker_problems("\"stdio\": true, \"cap-add\": \"NET_RAW\", \"user\": \"0\"").empty());
    CHECK(docker_problems("\"stdio\": true, \"cap-add\": \"NET_RAW\", \"allow-setuid\": true").empty());
}

TEST_CASE("relaxing: each option is graded by what it opens")
{
    const auto grades = [](const std::string& body) {
        const auto settings = read(body);
        std::vector<std::string> texts;
        for (const auto& remark : grade_relaxing(settings, settings.services.at(0)))
            texts.push_back(std::string(name_of(remark.isolation)) + ": " + remark.text);
        return texts;
    };
    CHECK(grades("\"stdio\": true").empty());
    CHECK(grades("\"allow-setuid\": true") ==
          std::vector<std::string>{"fair: its programs can become root in their containers, without capabilities; "
                                   "remove \"allow-setuid\""});
    CHECK(grades("\"cap-add\": [\"SYS_ADMIN\", \"NET_RAW\"]") ==
          std::vector<std::string>{
              "weak: its programs can have CAP_SYS_ADMIN, which reaches past their container to this "
              "machine; remove \"cap-add\": \"CAP_SYS_ADMIN\"",
              "fair: its programs can have CAP_NET_RAW, which makes them mightier in their "
              "container; remove \"cap-add\": \"CAP_NET_RAW\""});
    CHECK(grades("\"devices\": [\"/dev/null\", \"/dev/mem\"], \"seccomp\": \"off\"").size() == 3);
    CHECK(
        grades("\"devices\": \"/dev/null\"")[0].starts_with("fair: its programs use /dev/null of this machine, with "));
    CHECK(grades("\"seccomp\": \"off\"")[0].starts_with("weak: its programs may make every system call"));
    CHECK(grades("\"seccomp\": \"f.json\"")[0].starts_with("fair: its programs may make the system calls of a filter"));
}

TEST_CASE("relaxing: devices are graded by their numbers, whatever their names are")
{
    const daemon_test::TemporaryDirectory folder;
    const auto grade = [&](const std::string& path) {
        const auto settings = read("\"devices\": \"" + path + "\"");
        const auto remarks = grade_relaxing(settings, settings.services.at(0));
        REQUIRE(remarks.size() == 1);
        return std::string(name_of(remarks[0].isolation)) + remarks[0].text.substr(remarks[0].text.find(", "));
    };
    const auto node = [&](const std::string& name, mode_t type, unsigned major, unsigned minor) {
        REQUIRE(::mknod(folder.path(name).c_str(), type | 0600, makedev(major, minor)) == 0);
        const auto link = folder.path("link-to-" + name);
        std::filesystem::create_symlink(folder.path(name), link);
        const auto said = grade(link);
        CHECK(grade(folder.path(name)).starts_with(said.substr(0, said.find(';'))));
        return said;
    };
    const std::string all = "weak, and with it can take the machine over", known = "fair, with what its driver",
                      unknown = "weak, and its driver may";
    CHECK(node("mem", S_IFCHR, 1, 1).starts_with(all));
    CHECK(node("port", S_IFCHR, 1, 4).starts_with(all));
    CHECK(node("disk", S_IFBLK, 1, 3).starts_with(all));
    CHECK(node("zero", S_IFCHR, 1, 5).starts_with(known));
    CHECK(node("kvm", S_IFCHR, 10, 232).starts_with(known));
    CHECK(node("sg0", S_IFCHR, 21, 0).starts_with(unknown));
    CHECK(node("loop-control", S_IFCHR, 10, 237).starts_with(unknown));
    CHECK(grade(folder.path("none")).starts_with(unknown));
}
