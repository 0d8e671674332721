// SPDX-License-Identifier: MIT
#include "docker_farewell.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include <asio/post.hpp>
#include <asio/thread_pool.hpp>

#include "docker_bridge_network.hpp"

namespace instancer::detail::inline docker {
namespace {

constexpr std::chrono::seconds call_limit{1};

void carry_out(DockerFarewell& farewell)
{
    DockerEngine engine(farewell.engine);
    engine.hurry(call_limit);
    for (const auto& container : farewell.containers)
        (void)engine.call("DELETE", container_removal(container));
    if (farewell.network)
        DockerBridgeNetwork(engine, farewell.daemon, farewell.service).remove();
    farewell.claim.reset();
}

/// Whether there is anything to wait for. The object below must not be made before a backend has spoken to the engine:
/// what that takes of other libraries has to outlive it at the end of the process.
std::atomic<bool> any_said = false;

/// Those that are being said.
class Farewells {
public:
    static Farewells& all()
    {
        static Farewells farewells;
        return farewells;
    }

    ~Farewells() { thread_.join(); }

    void say(DockerFarewell farewell)
    {
        const auto daemon = farewell.daemon;
        {
            const std::lock_guard lock(mutex_);
            daemons_.insert(daemon);
        }
        asio::post(thread_, [this, daemon, farewell = std::move(farewell)]() mutable {
            carry_out(farewell);
            const std::lock_guard lock(mutex_);
            daemons_.erase(daemons_.find(daemon));
            changed_.notify_all();
        });
    }

    void wait(const std::string& daemon)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !daemons_.contains(daemon); });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::multiset<std::string> daemons_;
    asio::thread_pool thread_{1};
};

}  // namespace

void DockerFarewell::say(DockerFarewell farewell)
{
    const bool holds_name = farewell.claim && farewell.claim->held();
    if (farewell.containers.empty() && !farewell.network && !holds_name)
        return;
    any_said = true;
    Farewells::all().say(std::move(farewell));
}

void DockerFarewell::wait(const std::string& daemon)
{
    if (any_said)
        Farewells::all().wait(daemon);
}

}  // namespace instancer::detail::inline docker
