// SPDX-License-Identifier: MIT
// Two daemons of one name at one engine.
#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

#include <daemon.hpp>
#include <docker_support.hpp>
#include <engine_proxy.hpp>
#include <service.hpp>

using namespace docker_test;
using daemon_test::Child;
using daemon_test::Daemon;
using service_test::eventually;

namespace {

/// A claim of a daemon on another host, as far as anybody can tell.
class ForeignClaim {
public:
    explicit ForeignClaim(std::string daemon) : name_(std::move(daemon) + ".claim") { make(); }
    ~ForeignClaim()
    {
        renewing_ = {};
        Engine().call("DELETE", "/containers/" + name_ + "?force=1");
    }

    /// Makes it anew, in the place of whatever claim there is.
    void make()
    {
        const json spec = {{"Image", shell_image},
                           {"Labels",
                            {{"instancer.claim", name_.substr(0, name_.find('.'))},
                             {"instancer.host", "elsewhere"},
                             {"instancer.pid", "4711"}}}};
        // Whoever loses its claim makes a new one, in between perhaps.
        REQUIRE(eventually([&] {
            Engine engine;
            engine.call("DELETE", "/containers/" + name_ + "?force=1");
            engine.call("POST", "/containers/create?name=" + name_, spec.dump());
            return engine.status() == 201;
        }));
    }

    /// Shows a sign of life again and again.
    void renew()
    {
        renewing_ = std::jthread([this](const std::stop_token& stop) {
            for (int count = 1; !stop.stop_requested(); ++count) {
                const json change = {{"RestartPolicy", {{"Name", "on-failure"}, {"MaximumRetryCount", count}}}};
                Engine().call("POST", "/containers/" + name_ + "/update", change.dump());
                std::this_thread::sleep_for(10ms);
            }
        });
    }

private:
    const std::string name_;
    std::jthread renewing_;
};

bool exists(const std::string& container)
{
    Engine engine;
    engine.inspect(container);
    return engine.status() == 200;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

/// A daemon with the default name for port 1337 of a network of its own, as in a container.
std::vector<std::string> apart(std::vector<std::string> options = {})
{
    std::vector<std::string> command = {"unshare",  "--net",          daemon_test::instancerd({}).front(),
                                        "docker",   "--listen",       "0.0.0.0:1337",
                                        "--engine", default_engine(), "--image",
                                        shell_image};
    command.insert(command.end(), options.begin(), options.end());
    return command;
}

/// The only container of the daemon `of` that waits for a client.
std::string warm_container(const std::string& claim)
{
    std::string found;
    CHECK(eventually([&] {
        for (const auto& container : Engine().labelled("instancer.daemon%3D" + claim.substr(0, claim.find('.'))))
            if (container["State"] == "running")
                found = container["Id"];
        return !found.empty();
    }));
    return found;
}

/// The name of the claim that this process holds.
std::string claim_of(pid_t process)
{
    const auto claims = Engine().labelled("instancer.pid%3D" + std::to_string(process));
    REQUIRE(claims.size() == 1);
    return claims[0]["Names"][0].get<std::string>().substr(1);
}

}  // namespace

TEST_CASE("two daemons that cannot see each other's sockets do not share a name at one engine")
{
    need_shell_image();
    Daemon first(apart({"--warm", "1"}), {}, -1);
    const auto claim = claim_of(first.pid());
    const auto instance = warm_container(claim);

    Child second(apart());
    CHECK(second.wait() == 1);
    const auto log = second.whole_log();
    for (const auto& part :
         {"process " + std::to_string(first.pid()) + " on host ", std::string(" since 20"), std::string("--name")})
        CHECK_MESSAGE(has(log, part), log);
    CHECK(exists(instance));

    // One that was killed is known to be dead, and its leftovers are found.
    first.signal(SIGKILL);
    first.wait();
    const auto begin = std::chrono::steady_clock::now();
    Daemon third(apart(), {}, -1);
    CHECK(std::chrono::steady_clock::now() - begin < 25s);
    CHECK(claim_of(third.pid()) == claim);
    CHECK(!exists(instance));
    CHECK(third.terminate() == 0);
    CHECK(!exists(claim));
}

TEST_CASE("a claim that shows signs of life keeps others away")
{
    const auto options = Bench::options();
    ForeignClaim claim(options.daemon);
    claim.renew();
    Bench bench(options);
    const auto done = bench.await(bench.backend().prepare());
    REQUIRE(!done);
    CHECK(done.error() == Errc::bad_request);
    const auto text = done.error().text();
    CHECK_MESSAGE((has(text, "process 4711 on host elsewhere since 20") && has(text, "--name")), text);
}

TEST_CASE("a claim that shows no sign of life is taken over")
{
    auto options = Bench::options();
    options.claim_patience = 300ms;
    const ForeignClaim claim(options.daemon);
    Bench bench(options);
    const auto done = bench.await(bench.backend().prepare());
    CHECK_MESSAGE(done, done.error().text());
    REQUIRE(bench.events.all("warning").size() == 1);
    CHECK(has(bench.events.all("warning")[0], "host elsewhere"));
    CHECK(bench.inside(bench.start(), "echo here") == "here\n");
}

TEST_CASE("a name that is taken, though nobody can be found who holds it, is asked for at intervals")
{
    auto options = Bench::options();
    options.claim_patience = 3s;
    const ForeignClaim claim(options.daemon);
    EngineProxy proxy;
    options.engine = proxy.address();
    std::atomic<int> tries{0};
    proxy.obey([&tries](const std::string& request) {
        const bool looks = has(request, ".claim/json");
        tries += looks ? 1 : 0;
        return looks ? EngineProxy::Answer::missing : EngineProxy::Answer::pass;
    });
    Bench bench(options);
    const auto begin = std::chrono::steady_clock::now();
    std::optional<Result<void>> done;
    bench.spawn(bench.backend().prepare(), done);
    bench.until([&] { return tries >= 4; });
    CHECK(std::chrono::steady_clock::now() - begin >= options.claim_patience / 10);
    bench.backend().interrupt();
    bench.until([&] { return done.has_value(); });
    CHECK((!*done && done->error() == Errc::stopping));
}

TEST_CASE("whoever ends while another's claim is watched does not wait for it")
{
    const auto options = Bench::options();
    const ForeignClaim claim(options.daemon);
    Bench bench(options);
    const auto begin = std::chrono::steady_clock::now();
    std::optional<Result<void>> done;
    bench.spawn(bench.backend().prepare(), done);
    bench.until([&] { return !bench.events.all("warning").empty(); });
    bench.backend().interrupt();
    bench.until([&] { return done.has_value(); });
    CHECK((!*done && done->error() == Errc::stopping));
    CHECK(std::chrono::steady_clock::now() - begin < options.claim_patience);
}

TEST_CASE("a claim that somebody removes is made again, and goes with the last service of the daemon")
{
    auto options = Bench::options();
    options.claim_renewal = 20ms;
    const auto claim = options.daemon + ".claim";
    Bench one(options, "one"), two(options, "two");
    REQUIRE(one.await(one.backend().prepare()));
    REQUIRE(two.await(two.backend().prepare()));
    REQUIRE(exists(claim));
    Engine().call("DELETE", "/containers/" + claim);
    CHECK(eventually([&] { return exists(claim); }));
    one.crash();
    CHECK(two.inside(two.start(), "echo here") == "here\n");
    CHECK(exists(claim));
    two.crash();
    CHECK(eventually([&] { return !exists(claim); }));
    remove_containers(options.daemon);
}

TEST_CASE("a daemon whose name was taken over starts no more instances, and removes none")
{
    auto options = Bench::options();
    options.claim_renewal = 20ms;
    Bench bench(options);
    const auto instance = bench.start();
    ForeignClaim claim(options.daemon);
    std::string why;
    bench.until([&] {
        const auto refused = bench.try_start(instancer::InstanceRequest("svc"));
        why = refused ? std::string() : refused.error().text();
        return !refused;
    });
    CHECK_MESSAGE(has(why, "was taken over by process 4711 on host elsewhere"), why);
    bench.stop(instance);
    CHECK(exists(instance.name()));
    remove_containers(options.daemon);
}
