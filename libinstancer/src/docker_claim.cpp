// SPDX-License-Identifier: MIT
#include "docker_claim.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <utility>

#include <sys/utsname.h>
#include <unistd.h>

#include <instancer/system/process_stat.hpp>

#include "docker_json.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

namespace {

constexpr std::string_view label_claim = "instancer.claim";
constexpr std::string_view label_host = "instancer.host";
constexpr std::string_view label_pid = "instancer.pid";
constexpr std::string_view label_start = "instancer.start";
constexpr std::string_view label_scope = "instancer.scope";

constexpr std::chrono::seconds call_limit{5}, farewell_limit{1};

/// The time between two looks at another's claim is this part of the patience.
constexpr int looks = 30;

std::string link_target(const char* path)
{
    std::error_code error;
    return std::filesystem::read_symlink(path, error).string();
}

/// Where a process id and a start time name one process for good: a boot of a kernel, and namespaces. Empty where that
/// cannot be told, as when /proc shows other ids than ours.
std::string process_scope()
{
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    const auto ids = link_target("/proc/self/ns/pid"), times = link_target("/proc/self/ns/time");
    if (boot.empty() || ids.empty() || link_target("/proc/self") != std::to_string(::getpid()))
        return {};
    return boot + " " + ids + " " + times;
}

std::string own_start_time() { return process_stat("self", stat_start_time); }

enum class Life { unknown, dead, alive };

/// Whether the process lives that had this id and start time in our own scope.
Life life_of(const std::string& pid, const std::string& start)
{
    pid_t number = 0;
    std::from_chars(pid.data(), pid.data() + pid.size(), number);
    if (number <= 0 || start.empty())
        return Life::unknown;
    if (::kill(number, 0) != 0 && errno == ESRCH)
        return Life::dead;
    const auto state = process_stat(pid, 3);
    // It may be hidden from us.
    if (state.empty())
        return Life::unknown;
    return state == "Z" || state == "X" || process_stat(pid, stat_start_time) != start ? Life::dead : Life::alive;
}

std::string claim_name(std::string_view daemon) { return std::string(daemon) + ".claim"; }

json counter(unsigned count) { return {{"Name", "on-failure"}, {"MaximumRetryCount", count}}; }

}  // namespace

/// Whose a claim is, and what it counted when it was looked at.
class DockerClaim::Holder {
public:
    explicit Holder(const json& container) : id(text_at(container, "Id"))
    {
        const auto labels = object_at(object_at(container, "Config"), "Labels");
        daemon = text_at(labels, label_claim);
        host_ = text_at(labels, label_host);
        pid_ = text_at(labels, label_pid);
        start_ = text_at(labels, label_start);
        scope_ = text_at(labels, label_scope);
        // The engine's clock, to the second.
        since_ = text_at(container, "Created").substr(0, std::string_view("2026-01-01T00:00:00").size()) + "Z";
        count = value_at(object_at(object_at(container, "HostConfig"), "RestartPolicy"), "MaximumRetryCount", 0);
    }

    std::string describe() const { return "process " + pid_ + " on host " + host_ + " since " + since_; }

    /// As far as that shows at once.
    Life life() const
    {
        if (scope_.empty() || scope_ != process_scope())
            return Life::unknown;
        // What this process holds, it does not ask for.
        if (pid_ == std::to_string(::getpid()) && start_ == own_start_time())
            return Life::dead;
        return life_of(pid_, start_);
    }

    std::string id;
    std::string daemon;
    int count = 0;

private:
    std::string host_, pid_, start_, scope_, since_;
};

std::shared_ptr<DockerClaim> DockerClaim::shared(const DockerOptions& options)
{
    static std::mutex mutex;
    static std::map<std::pair<std::string, std::string>, std::weak_ptr<DockerClaim>> all;
    std::error_code error;
    const auto engine = std::filesystem::weakly_canonical(DockerEngine(options.engine).socket_path(), error).string();
    const std::lock_guard lock(mutex);
    auto& known = all[{engine, options.daemon}];
    auto claim = known.lock();
    if (!claim)
        known = claim = std::make_shared<DockerClaim>(options);
    return claim;
}

DockerClaim::DockerClaim(const DockerOptions& options)
    : daemon_(options.daemon),
      address_(options.engine),
      renewal_(options.claim_renewal),
      patience_(options.claim_patience),
      engine_(options.engine)
{
}

DockerClaim::~DockerClaim()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_requested_.notify_all();
    engine_.stop();
    if (thread_.joinable())
        thread_.join();
    if (id_.empty())
        return;
    DockerEngine engine(address_);
    engine.hurry(farewell_limit);
    (void)engine.call("DELETE", container_removal(id_));
}

Result<void> DockerClaim::acquire(DockerEngine& engine, const ImageFacts& image, const std::atomic<bool>& interrupted,
                                  const Notice& notice)
{
    const auto pause = patience_ / looks;
    std::unique_lock lock(acquiring_, std::defer_lock);
    while (!lock.try_lock()) {
        if (interrupted)
            return fail(Errc::stopping);
        std::this_thread::sleep_for(pause);
    }
    if (thread_.joinable())
        return {};

    const auto spec = make_spec(image).dump();
    std::optional<Holder> watched;
    std::string removed;
    auto until = std::chrono::steady_clock::time_point::max();
    while (!interrupted) {
        auto id = create(engine, spec);
        if (!id)
            return fail(std::move(id.error()));
        if (!id->empty()) {
            const std::lock_guard state_lock(mutex_);
            id_ = *id;
            spec_ = spec;
            thread_ = std::thread([this] { keep(); });
            return {};
        }
        auto found = find(engine);
        if (!found)
            return fail(std::move(found.error()));
        // One that has just gone may hold its name for a moment.
        if (!*found) {
            std::this_thread::sleep_for(pause);
            continue;
        }
        const auto& holder = **found;
        const auto life = holder.life();
        const bool same = watched && watched->id == holder.id;
        if (life == Life::alive || (same && watched->count != holder.count))
            return taken(holder);
        if (life == Life::dead || (same && std::chrono::steady_clock::now() >= until)) {
            if (auto done = remove(engine, holder); !done)
                return done;
            if (std::exchange(removed, holder.id) == holder.id)
                std::this_thread::sleep_for(pause);
            continue;
        }
        if (!same) {
            until = std::chrono::steady_clock::now() + patience_;
            notice("the name '" + daemon_ + "' is claimed by " + holder.describe() +
                   "; it is taken over unless that shows "
                   "a sign of life within " +
                   std::to_string(patience_.count()) + " ms");
            watched = holder;
        }
        std::this_thread::sleep_for(pause);
    }
    return fail(Errc::stopping);
}

json DockerClaim::make_spec(const ImageFacts& image) const
{
    utsname host{};
    ::uname(&host);
    // What the image declares as a volume would be made, and filled, on the host's disk.
    auto volumes = json::object();
    for (const auto& path : image.volumes)
        volumes[path] = "";
    return {
        {"Image", image.id},
        {"Cmd", {"never-started"}},
        {"NetworkDisabled", true},
        {"Labels",
         {{label_claim, daemon_},
          {label_host, host.nodename},
          {label_pid, std::to_string(::getpid())},
          {label_start, own_start_time()},
          {label_scope, process_scope()}}},
        {"HostConfig", {{"NetworkMode", "none"}, {"Tmpfs", volumes}, {"RestartPolicy", counter(1)}}},
    };
}

/// The id of the container; empty when the name is taken.
Result<std::string> DockerClaim::create(DockerEngine& engine, const std::string& spec) const
{
    const auto reply =
        engine.call("POST", "/containers/create?name=" + claim_name(daemon_), spec, DockerEngine::long_work);
    if (!reply)
        return fail(reply.error());
    if (reply->status() == 409)
        return std::string();
    if (!reply->ok())
        return fail(Errc::backend_unavailable, "claiming the name '" + daemon_ + "': " + reply->message());
    return text_at(reply->json(), "Id");
}

/// Who holds the name; nobody when that has just gone.
Result<std::optional<DockerClaim::Holder>> DockerClaim::find(DockerEngine& engine) const
{
    const auto reply = engine.call("GET", "/containers/" + claim_name(daemon_) + "/json");
    if (!reply)
        return fail(reply.error());
    if (reply->status() == 404)
        return std::optional<Holder>();
    if (!reply->ok())
        return fail(Errc::backend_unavailable, "looking who claims the name '" + daemon_ + "': " + reply->message());
    Holder holder(reply->json());
    if (holder.daemon != daemon_)
        return fail(Errc::bad_request, "the container '" + claim_name(daemon_) +
                                           "' exists and is not ours; remove it, or give this daemon another name");
    return std::optional<Holder>(std::move(holder));
}

/// By its id, or it might be that of a daemon that was quicker.
Result<void> DockerClaim::remove(DockerEngine& engine, const Holder& holder) const
{
    const auto reply = engine.call("DELETE", container_removal(holder.id));
    if (!reply)
        return fail(reply.error());
    if (!reply->ok() && reply->status() != 404 && reply->status() != 409)
        return fail(Errc::backend_unavailable, "removing a claim that is dead: " + reply->message());
    return {};
}

Result<void> DockerClaim::taken(const Holder& holder) const
{
    return fail(Errc::bad_request, "a daemon named '" + daemon_ + "' uses the Docker engine at " + address_ +
                                       " already: " + holder.describe() + "; stop it, or give this one another --name");
}

void DockerClaim::keep()
{
    std::unique_lock lock(mutex_);
    while (!stop_requested_.wait_for(lock, renewal_, [this] { return stopping_; })) {
        lock.unlock();
        renew();
        lock.lock();
    }
}

void DockerClaim::renew()
{
    if (!id_.empty()) {
        const json change = {{"RestartPolicy", counter(++count_)}};
        const auto reply = engine_.call("POST", "/containers/" + id_ + "/update", change.dump(), call_limit);
        if (!reply)
            engine_.forget_version();
        if (!reply || reply->status() != 404)
            return;
    }
    // An operator who tidies up removes it, and so does a daemon that thought us dead.
    const auto id = create(engine_, spec_);
    if (!id)
        return;
    std::string lost;
    if (id->empty()) {
        const auto found = find(engine_);
        // Until the next renewal nobody knows whose it is: what was known before holds.
        if (!found || !*found)
            return;
        lost = "the name '" + daemon_ + "' was taken over by " + (*found)->describe() +
               ", because this daemon gave no sign of life; stop one of them";
    }
    const std::lock_guard lock(mutex_);
    id_ = *id;
    count_ = 1;
    lost_ = lost;
}

bool DockerClaim::held() const
{
    const std::lock_guard lock(mutex_);
    return !id_.empty();
}

std::string DockerClaim::lost() const
{
    const std::lock_guard lock(mutex_);
    return lost_;
}

}  // namespace instancer::detail::inline docker
