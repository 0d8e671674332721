// SPDX-License-Identifier: MIT
// An engine that comes and goes: one of our own, so that no other is disturbed.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <iterator>
#include <stop_token>
#include <thread>

#include <daemon.hpp>
#include <docker_support.hpp>
#include <fcntl.h>
#include <instancer/system/process_stat.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

using namespace docker_test;

namespace {

class OwnEngine {
public:
    OwnEngine() { std::filesystem::create_directories(folder_); }

    ~OwnEngine()
    {
        stop(SIGTERM);
        kill_forgotten();
        for (const auto* part : {"/data", "/exec"})
            (void)std::system(
                ("awk '{print $2}' /proc/mounts | grep '^" + folder_ + part + "' | tac | xargs -r umount -l").c_str());
        std::filesystem::remove_all(folder_);
    }

    std::string address() const { return "unix://" + folder_ + "/socket"; }

    void start()
    {
        std::vector<std::string> words = {"dockerd",         "--data-root",   folder_ + "/data",  "--exec-root",
                                          folder_ + "/exec", "--pidfile",     folder_ + "/pid",   "--host",
                                          address(),         "--bridge=none", "--iptables=false", "--ip-masq=false"};
        std::vector<char*> arguments;
        for (auto& word : words)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        const auto log = folder_ + "/log";
        posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        REQUIRE(::posix_spawnp(&process_, "dockerd", &actions, nullptr, arguments.data(), environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
        const auto deadline = std::chrono::steady_clock::now() + 60s;
        while (!Engine(address()).answers()) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "dockerd does not start");
            std::this_thread::sleep_for(50ms);
        }
    }

    void stop(int signal)
    {
        if (process_ <= 0)
            return;
        ::kill(process_, signal);
        ::waitpid(process_, nullptr, 0);
        process_ = 0;
        // The next one would take a containerd that is about to end for its own.
        std::ifstream file(folder_ + "/exec/containerd/containerd.pid");
        std::string containerd;
        if (file >> containerd)
            CHECK(service_test::eventually([&] { return !std::filesystem::exists("/proc/" + containerd); }));
    }

private:
    /// What was just being started when an engine was killed is known to no later one.
    void kill_forgotten() const
    {
        std::vector<std::string> processes, shims;
        for (const auto& entry : std::filesystem::directory_iterator("/proc"))
            if (const auto name = entry.path().filename().string(); name.find_first_not_of("0123456789") == name.npos)
                processes.push_back(name);
        for (const auto& process : processes) {
            std::ifstream file("/proc/" + process + "/cmdline");
            const std::string words(std::istreambuf_iterator<char>(file), {});
            if (words.find("containerd-shim") != words.npos && words.find(folder_ + "/exec") != words.npos)
                shims.push_back(process);
        }
        for (const auto& process : processes)
            if (std::count(shims.begin(), shims.end(), instancer::process_stat(process, stat_parent)) > 0)
                ::kill(std::stoi(process), SIGKILL);
        for (const auto& shim : shims)
            ::kill(std::stoi(shim), SIGKILL);
    }

    static constexpr int stat_parent = 4;

    const std::string folder_ = "/var/tmp/instancer-test-engine-" + std::to_string(::getpid());
    pid_t process_ = 0;
};

}  // namespace

TEST_CASE("an engine that goes away is told once, refuses at once, and is used again when it is back")
{
    OwnEngine engine;
    engine.start();
    make_image(shell_image, shell_changes, engine.address());
    auto options = Bench::options();
    options.engine = engine.address();
    Bench bench(options);
    const auto before = bench.start("before");
    const auto stuck = bench.start("stuck");
    CHECK(bench.inside(before, "echo one") == "one\n");

    const auto refused = [&] {
        const auto begin = std::chrono::steady_clock::now();
        const auto instance = bench.try_start(instancer::InstanceRequest("svc"));
        CHECK(std::chrono::steady_clock::now() - begin < 1s);
        return !instance && instance.error() == Errc::backend_unavailable;
    };
    int signal = 0;
    SUBCASE("stopped") { signal = SIGTERM; }
    SUBCASE("killed") { signal = SIGKILL; }
    engine.stop(signal);
    CHECK(refused());
    bench.until([&] { return !bench.events.all("warning").empty(); });
    CHECK(refused());
    // It cannot be removed now; that is made up for later.
    CHECK(!bench.await(bench.backend().stop(stuck)));
    bench.forget(stuck);
    CHECK(bench.events.all("warning").size() == 1);

    engine.start();
    bench.until([&] { return bench.events.all("notice").size() == 1; });
    // An engine that starts ends what a previous one left running.
    CHECK(bench.await(bench.backend().wait(before)).text() != "");
    bench.stop(before);
    CHECK(bench.inside(bench.start("after"), "echo two") == "two\n");
    bench.until([&] { return bench.containers() == 1; });
    CHECK(bench.events.all("warning").size() == 1);
}

TEST_CASE("an engine that is stopped and started under load: clients are refused meanwhile, and nothing is left")
{
    OwnEngine engine;
    engine.start();
    make_image(shell_image, shell_changes, engine.address());
    daemon_test::Daemon daemon(
        {"docker", "--listen", "127.0.0.1:0", "--name", "load", "--engine", engine.address(), "--image", shell_image});
    std::atomic<int> served = 0, refused = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i)
        clients.emplace_back([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                daemon_test::RawClient client(daemon.port());
                client.send("echo here\n");
                ++(client.receive_line() == "here" ? served : refused);
                std::this_thread::sleep_for(20ms);  // or the log gets too long to be searched
            }
        });
    const auto goes_on = [](std::atomic<int>& count) {
        const int before = count;
        return service_test::eventually([&] { return count > before + 4; });
    };
    CHECK(goes_on(served));
    engine.stop(SIGKILL);
    CHECK(goes_on(refused));
    CHECK(daemon.wait_for_line("clients are refused until it is back") != "");
    engine.start();
    CHECK(daemon.wait_for_line("is back") != "");
    CHECK(goes_on(served));
    clients.clear();
    CHECK(daemon.terminate() == 0);
    CHECK(Engine(engine.address()).labelled("instancer.daemon%3Dload").empty());
}
