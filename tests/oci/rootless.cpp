// SPDX-License-Identifier: MIT
// Containers of an ordinary user: what holds without root, and what is refused.
#include <oci_support.hpp>

#include <array>

#include <instancer/detail/process/control_group.hpp>

#include <daemon.hpp>
#include <image_archive.hpp>
#include <raw_client.hpp>

using namespace oci_test;
using daemon_test::Child;
using daemon_test::Daemon;
using daemon_test::RawClient;
using daemon_test::TemporaryDirectory;

namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

constexpr uid_t nobody_else = 70'123;  ///< A user that no other test and no system has.

/// An ordinary user's place: the files of containers, programs that it may execute, and control groups that it may
/// divide, as a unit with Delegate=yes has them.
class OrdinaryUser {
public:
    OrdinaryUser()
    {
        static int count = 0;
        name = "rootless-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
        for (const auto& program : {fs::path(test_paths::instancerd), fs::path(init_program())})
            fs::copy_file(program, directory_.path(program.filename()));
        fs::rename(fs::path(files_.path()), files());
        fs::create_directory(files_.path());
        give(directory_.path());
        for (const auto& entry : fs::recursive_directory_iterator(directory_.path()))
            give(entry.path());
        for (const auto* controller : {"memory", "pids", "cpu", ""})
            if (const auto own = instancer::detail::own_control_group(controller); !own.empty())
                delegate(fs::path(own) / ("test-" + name));
    }
    ~OrdinaryUser()
    {
        for (const auto& group : groups_) {
            std::error_code ignored;
            // What is left below is what a test that failed has left.
            for (const auto& entry : fs::directory_iterator(group, ignored))
                if (entry.is_directory(ignored))
                    ::rmdir(entry.path().c_str());
            ::rmdir(group.c_str());
        }
    }
    OrdinaryUser(const OrdinaryUser&) = delete;

    std::string files() const { return directory_.path("files"); }
    std::string file(const std::string& file_name, const std::string& content) const
    {
        auto path = directory_.file(file_name, content);
        give(path);
        return path;
    }
    std::string path(const std::string& file_name) const { return directory_.path(file_name); }

    /// `instancerd ARGUMENTS` as that user, with groups of its own where `delegated` says so.
    Words command(const Words& arguments, bool delegated = true) const
    {
        std::string script;
        if (delegated)
            for (const auto& group : groups_)
                script += "echo $$ > " + group.string() + "/cgroup.procs; ";
        const auto user = std::to_string(nobody_else);
        Words all = {"sh", "-c",
                     script + "exec setpriv --reuid=" + user + " --regid=" + user +
                         " --clear-groups --no-new-privs \"$@\"",
                     "sh", path("instancerd")};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }

    /// `instancerd oci` with these options.
    Words oci(Words options, const Words& program, bool delegated = true) const
    {
        const Words first = {"oci", "--listen", "127.0.0.1:0", "--name", name, "--rootfs", files()};
        options.insert(options.begin(), first.begin(), first.end());
        options.emplace_back("--");
        options.insert(options.end(), program.begin(), program.end());
        return command(options, delegated);
    }

    std::string name;

private:
    static void give(const fs::path& path) { REQUIRE(::lchown(path.c_str(), nobody_else, nobody_else) == 0); }

    void delegate(const fs::path& group)
    {
        if (!fs::create_directory(group))
            return;
        groups_.push_back(group);
        give(group);
        for (const auto* file : {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "tasks"})
            if (fs::exists(group / file))
                give(group / file);
    }

    TemporaryDirectory directory_;
    Rootfs files_;
    std::vector<fs::path> groups_;
};

/// All that a service says to one client that sends `input`.
std::string talk(const Daemon& daemon, const std::string& input)
{
    RawClient client(daemon.port());
    client.send(input);
    client.half_close();
    return client.receive_all();
}

/// Why it does not start.
std::string refusal(const Words& command)
{
    Child child(command);
    const auto code = child.wait();
    CHECK(code);
    CHECK(code != 0);
    return child.whole_log();
}

void check_has(const std::string& text, const std::string& part)
{
    CHECK_MESSAGE(text.find(part) != text.npos, part << " in " << text);
}

const auto can_be_tried = doctest::skip(::geteuid() != 0);

}  // namespace

TEST_CASE("rootless: the walls of a container stand for an ordinary user as well" * can_be_tried)
{
    const OrdinaryUser user;
    {
        Daemon daemon(user.oci({"--stdio"}, {"sh"}), {}, -1);
        check_has(daemon.log(), "without root its programs are user 70123 to this machine");
        const auto said = talk(daemon, "exec 2>&1; id -u; id -g; ls /sys/class/net; touch /x /bin/x; touch /tmp/x && "
                                       "echo room; cat /proc/self/status; ls /proc | grep -c '^[0-9]'; mount -t tmpfs "
                                       "none /data; unshare -r true; cat /proc/self/uid_map\n");
        CHECK(said.starts_with("65534\n65534\nlo\n"));
        for (const auto* part : {"/x: Read-only file system", "/bin/x: Read-only file system", "room\n",
                                 "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "mount: ", "unshare: "})
            check_has(said, part);
        check_has(said, "65534 ");
        CHECK(daemon.terminate() == 0);
    }
    CHECK(leftovers(user.name).empty());
}

TEST_CASE("rootless: a port is reached, by several clients of one container" * can_be_tried)
{
    const OrdinaryUser user;
    Daemon daemon(user.oci({"--port", "9000", "--auth", "source"}, {"nc", "-ll", "-p", "9000", "-e", "cat"}), {}, -1);
    {
        std::array clients = {RawClient(daemon.port()), RawClient(daemon.port()), RawClient(daemon.port())};
        for (auto& client : clients) {
            client.send("to and fro");
            CHECK(client.receive(10) == "to and fro");
        }
    }
    CHECK(daemon.terminate() == 0);
    CHECK(leftovers(user.name).empty());
}

TEST_CASE("rootless: a terminal, and a file with a flag" * can_be_tried)
{
    const OrdinaryUser user;
    {
        const Daemon terminal(user.oci({"--stdio", "--pty"}, {"sh", "-c", "tty; stty -echo; cat"}), {}, -1);
        RawClient client(terminal.port());
        CHECK(client.receive(12).starts_with("/dev/pts/"));
    }
    const Daemon flagged(user.oci({"--stdio", "--flag", "FLAG{same}", "--flag-file", "/run/flag/flag"},
                                  {"sh", "-c", "stat -c '%a %u' /run/flag/flag; cat /run/flag/flag"}),
                         {}, -1);
    CHECK(talk(flagged, "").starts_with("400 65534\nFLAG{"));
}

TEST_CASE("rootless: a sandbox of this host's files" * can_be_tried)
{
    const OrdinaryUser user;
    const Daemon daemon(user.command({"exec", "--sandbox", "--listen", "127.0.0.1:0", "--name", user.name, "--", "sh"}),
                        {}, -1);
    const auto said = talk(daemon, "exec 2>&1; id -u; ls -A /home | wc -l; cat /etc/shadow; touch /usr/x; hostname\n");
    CHECK(said.starts_with("65534\n0\n"));
    check_has(said, "/etc/shadow: No such");
    check_has(said, "Read-only file system");
}

TEST_CASE("rootless: limits hold in groups that were delegated" * can_be_tried)
{
    const OrdinaryUser user;
    const Daemon daemon(user.oci({"--stdio", "--limit-memory", "32m", "--limit-tmp", "0"},
                                 {"sh", "-c", "head -c 100m /dev/zero | tail -c 90m"}),
                        {}, -1);
    CHECK(talk(daemon, "") == "");
    CHECK_FALSE(daemon.wait_for_line("oom").empty());
}

TEST_CASE("rootless: what takes root is refused, with the remedy" * can_be_tried)
{
    const OrdinaryUser user;
    const auto says = [&](const Words& options, const std::string& part, bool delegated = true) {
        auto all = options;
        all.emplace_back("--stdio");
        check_has(refusal(user.oci(all, {"sh"}, delegated)), part);
    };
    says({}, "in a unit with Delegate=yes, or go without that limit", false);
    says({"--runtime", "runc"}, "takes root: install crun (apt install crun), or start instancerd as root");
    says({"--allow-setuid"}, "a program that is setuid (allow-setuid) takes root");
    says({"--device", "/dev/null"}, "a device of the host (device) takes root");
    says({"--user", "player"}, "a user with further groups takes root: name one by number");
    auto without =
        user.oci({"--stdio", "--limit-memory", "0", "--limit-pids", "0", "--limit-cpus", "0"}, {"id", "-u"}, false);
    const Daemon daemon(without, {}, -1);
    CHECK(talk(daemon, "") == "65534\n");
}

TEST_CASE("rootless: nothing outlives a daemon that is killed, and the next one clears up" * can_be_tried)
{
    const OrdinaryUser user;
    {
        Daemon daemon(user.oci({"--stdio"}, {"sh", "-c", "echo here; exec sleep 1000"}), {}, -1);
        RawClient client(daemon.port());
        CHECK(client.receive(5) == "here\n");
        daemon.signal(SIGKILL);
        daemon.wait();
    }
    {
        Daemon next(user.oci({"--stdio"}, {"id", "-u"}), {}, -1);
        CHECK(talk(next, "") == "65534\n");
        CHECK(next.terminate() == 0);
    }
    CHECK(leftovers(user.name).empty());
}

TEST_CASE("rootless: an archive is unpacked into a store of the user's own" * can_be_tried)
{
    const OrdinaryUser user;
    std::ifstream busybox("/bin/busybox", std::ios::binary);
    image_test::Traits program;
    program.mode = 04755;
    program.uid = 1000;
    image_test::Tar tar;
    tar.directory("bin/").file("bin/busybox", std::string{std::istreambuf_iterator<char>(busybox), {}}, program);
    image_test::Image image;
    image.layer(tar.finish()).config = {{"Cmd", {"/bin/busybox", "id", "-u"}}, {"User", "1234:99"}};
    const auto archive = user.file("image.tar", image.docker_archive());
    const Daemon daemon(user.command({"oci", "--listen", "127.0.0.1:0", "--name", user.name, "--archive", archive,
                                      "--store", user.path("store"), "--stdio"}),
                        {}, -1);
    CHECK(talk(daemon, "") == "1234\n");
}
