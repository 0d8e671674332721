// SPDX-License-Identifier: MIT
// Whatever is killed, and whenever: of an instance nothing is left.
#include <oci_support.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <set>
#include <thread>

#include <daemon.hpp>
#include <raw_client.hpp>
#include <service.hpp>

using namespace oci_test;
using daemon_test::Daemon;
using daemon_test::RawClient;
using service_test::eventually;

namespace {

using Words = std::vector<std::string>;

/// Daemons of one name, whose containers all have a mark on their command lines.
class Place {
public:
    Place()
    {
        static int count = 0;
        name = "faults-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
        mark = "mark-" + name;
    }

    /// A container echoes what is sent, by its standard streams or at a port.
    Words daemon(const std::string& runtime, bool port = false) const
    {
        Words all = {"oci", "--listen", "127.0.0.1:0", "--name", name, "--rootfs", files.path(), "--runtime", runtime};
        for (const auto* option : {"--max-instances", "200", "--stop-grace", "0"})
            all.emplace_back(option);
        if (port)
            all.insert(all.end(), {"--port", "9000", "--", "sh", "-c", "nc -ll -p 9000 -e cat; true", mark});
        else
            all.insert(all.end(), {"--stdio", "--", "sh", "-c", "cat; true", mark});
        return all;
    }

    /// The processes of all containers.
    std::vector<pid_t> processes(const Daemon& daemon) const
    {
        auto all = processes_with(mark);
        std::erase(all, daemon.pid());
        return all;
    }

    std::string name, mark;
    Rootfs files;
};

bool echoes(RawClient& client)
{
    client.send("to and fro");
    return client.receive(10) == "to and fro";
}

std::vector<std::unique_ptr<RawClient>> connect(const Daemon& daemon, int count)
{
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < count; ++i)
        clients.push_back(std::make_unique<RawClient>(daemon.port()));
    return clients;
}

/// Namespaces of a process that are not ours, as in `net:[4026531840]`.
std::set<std::string> namespaces_of(pid_t pid)
{
    std::set<std::string> found;
    std::error_code error;
    for (const auto* kind : {"mnt", "net", "pid", "ipc", "uts", "cgroup"}) {
        const auto link = [&](const std::string& process) {
            return std::filesystem::read_symlink("/proc/" + process + "/ns/" + kind, error).string();
        };
        if (auto space = link(std::to_string(pid)); !space.empty() && space != link("self"))
            found.insert(std::move(space));
    }
    return found;
}

std::set<std::string> namespaces_of(const std::vector<pid_t>& processes)
{
    std::set<std::string> all;
    for (const auto pid : processes)
        all.merge(namespaces_of(pid));
    return all;
}

/// Those of the namespaces that some process is in, or holds open.
std::vector<std::string> held(const std::set<std::string>& namespaces)
{
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& process : std::filesystem::directory_iterator("/proc", error))
        for (const auto* folder : {"ns", "fd"})
            for (std::filesystem::directory_iterator at(process.path() / folder, error), end; !error && at != end;
                 at.increment(error))
                if (auto target = std::filesystem::read_symlink(at->path(), error).string();
                    namespaces.contains(target))
                    found.push_back(at->path().string() + " " + target);
    return found;
}

/// The first process of the container that `pid` is in.
pid_t init_of(pid_t pid, const std::vector<pid_t>& processes)
{
    const auto space = [](pid_t process) {
        std::error_code error;
        return std::filesystem::read_symlink("/proc/" + std::to_string(process) + "/ns/pid", error);
    };
    for (const auto other : processes) {
        std::ifstream status("/proc/" + std::to_string(other) + "/status");
        std::string line;
        while (std::getline(status, line) && !line.starts_with("NSpid:")) {}
        if (line.ends_with("\t1") && space(other) == space(pid))
            return other;
    }
    return -1;
}

void check_nothing_left(const Place& place)
{
    const auto left = leftovers(place.name);
    for (const auto& what : left)
        FAIL_CHECK(what);
    CHECK(processes_with(place.mark).empty());
}

/// Kills processes of runtimes, each after a while that grows, so that each step of a start has its turn.
class RuntimeKiller {
public:
    explicit RuntimeKiller(std::string name) : thread_([this, words = "instancer." + name + "."] { run(words); }) {}
    ~RuntimeKiller()
    {
        over_ = true;
        thread_.join();
    }

    int kills() const { return kills_; }

private:
    void run(const std::string& words)
    {
        for (unsigned step = 0; !over_; ++step) {
            const auto found = processes_with(words);
            if (found.empty())
                continue;
            std::this_thread::sleep_for(std::chrono::microseconds(step * 700 % 30'000));
            ::kill(found[step % found.size()], SIGKILL);
            ++kills_;
        }
    }

    std::atomic<bool> over_{false};
    std::atomic<int> kills_{0};
    std::thread thread_;
};

}  // namespace

TEST_CASE("faults: a daemon that is killed leaves no process and no namespace, and the next start removes the rest")
{
    for (const auto& runtime : runtimes)
        for (const bool port : {false, true}) {
            CAPTURE(runtime);
            CAPTURE(port);
            const Place place;
            std::set<std::string> namespaces;
            {
                Daemon first(place.daemon(runtime, port));
                const auto served = connect(first, 4);
                for (const auto& client : served)
                    REQUIRE(echoes(*client));
                namespaces = namespaces_of(place.processes(first));
                CHECK(namespaces.size() >= 4 * 5);
                // And some more that are just being started.
                const auto starting = connect(first, 4);
                CHECK(eventually([&] { return processes_with("instancer." + place.name + ".").size() > 4; }));
                first.signal(SIGKILL);
                first.wait();
                for (const auto& client : served)
                    CHECK(client->receive_all() == "");
            }
            CHECK(eventually([&] { return processes_with(place.mark).empty(); }));
            CHECK(eventually([&] { return processes_with("instancer." + place.name + ".").empty(); }));
            CHECK(held(namespaces).empty());
            {
                Daemon second(place.daemon(runtime, port));
                RawClient client(second.port());
                CHECK(echoes(client));
                client.close();
                CHECK(second.terminate() == 0);
            }
            check_nothing_left(place);
        }
}

TEST_CASE("faults: a runtime that is killed during a start leaves nothing, and others start as before")
{
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Place place;
        {
            Daemon daemon(place.daemon(runtime));
            int served = 0;
            {
                const RuntimeKiller killer(place.name);
                for (int i = 0; i < 40; ++i) {
                    RawClient client(daemon.port());
                    served += echoes(client) ? 1 : 0;
                    client.half_close();
                    client.receive_all();
                }
                CHECK(killer.kills() > 10);
            }
            CHECK(served < 40);
            RawClient client(daemon.port());
            CHECK(echoes(client));
            client.close();
            CHECK(eventually([&] { return place.processes(daemon).empty(); }));
            CHECK(daemon.terminate() == 0);
        }
        check_nothing_left(place);
    }
}

TEST_CASE("faults: a container whose first process is killed ends as a whole, and its client with it")
{
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Place place;
        {
            Daemon daemon(place.daemon(runtime));
            RawClient one(daemon.port());
            REQUIRE(echoes(one));
            const auto processes = place.processes(daemon);
            const auto namespaces = namespaces_of(processes);
            const auto inside =
                std::ranges::find_if(processes, [](pid_t pid) { return namespaces_of(pid).size() > 4; });
            REQUIRE(inside != processes.end());
            const auto init = init_of(*inside, processes);
            REQUIRE(init > 0);
            ::kill(init, SIGKILL);
            CHECK(one.receive_all() == "");
            CHECK(daemon.wait_for_line("instance ended") != "");
            CHECK(eventually([&] { return place.processes(daemon).empty(); }));
            CHECK(eventually([&] { return held(namespaces).empty(); }));
            RawClient two(daemon.port());
            CHECK(echoes(two));
            two.close();
            CHECK(daemon.terminate() == 0);
        }
        check_nothing_left(place);
    }
}

TEST_CASE("faults: clients that come and go as they like leave nothing")
{
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        const Place place;
        {
            Daemon daemon(place.daemon(runtime));
            std::atomic<int> left{runtime == "crun" ? 300 : 60}, strange{0};
            std::vector<std::thread> threads;
            for (int thread = 0; thread < 8; ++thread)
                threads.emplace_back([&] {
                    for (int number; (number = left--) > 0;) {
                        RawClient client(daemon.port());
                        if (number % 5 == 0)
                            client.reset();
                        else if (number % 5 == 1)
                            client.close();
                        else {
                            strange += echoes(client) ? 0 : 1;
                            if (number % 5 == 2)
                                client.half_close();
                            strange += number % 5 == 2 && client.receive_all() != "" ? 1 : 0;
                        }
                    }
                });
            for (auto& thread : threads)
                thread.join();
            CHECK(strange == 0);
            CHECK(eventually([&] { return place.processes(daemon).empty(); }));
            CHECK(daemon.terminate() == 0);
        }
        check_nothing_left(place);
    }
}
