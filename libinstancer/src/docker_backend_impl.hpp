// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/backend/docker_backend.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>

#include "docker_bridge_network.hpp"
#include "docker_container.hpp"
#include "docker_engine.hpp"
#include "docker_network.hpp"
#include "docker_preparation.hpp"
#include "docker_spec.hpp"
#include "docker_watch.hpp"

namespace instancer {

using namespace detail;

/// The life of containers is in docker_backend.cpp, what was left behind and what must go in docker_recovery.cpp.
class DockerBackend::Impl final : public std::enable_shared_from_this<Impl>, private DockerWatch::Observer {
public:
    Impl(asio::any_io_executor control, std::string service, DockerOptions options, Events& events)
        : control_(std::move(control)),
          service_(std::move(service)),
          options_(std::move(options)),
          events_(events),
          engine_(options_.engine),
          network_(engine_, options_.daemon, service_),
          preparation_(engine_, network_, options_, service_, events_),
          firewall_look_(control_),
          given_up_(control_),
          watch_(engine_, {label(label_daemon, options_.daemon), label(label_service, service_)}, *this)
    {
    }

    ~Impl() override = default;

    bool stdio() const noexcept { return options_.io == DockerIo::stdio; }
    std::chrono::milliseconds finish_time() const noexcept
    {
        return stdio() ? std::max(options_.stop_grace, BackendTraits::a_moment) : BackendTraits::a_moment;
    }

    void shutdown();

    asio::awaitable<Result<void>> prepare();

    void interrupt();

    asio::awaitable<Result<Instance>> start(InstanceRequest request);
    asio::awaitable<Result<Stream>> open(Instance instance);
    asio::awaitable<InstanceExit> wait(Instance instance);
    asio::awaitable<Result<void>> stop(Instance instance);
    asio::awaitable<Result<void>> assign(Instance instance, Identity identity);
    asio::awaitable<Result<void>> personalize(Instance instance, InstanceRequest request);
    asio::awaitable<Result<void>> note_extension(Instance instance, std::chrono::seconds total);
    bool personalizes() const noexcept { return options_.secret.has_file(); }
    asio::awaitable<Result<std::vector<OrphanInstance>>> recover();
    asio::awaitable<std::string> diagnose(Instance instance);

private:
    using Containers = std::vector<std::shared_ptr<Container>>;

    /// Whether the daemon has such a service now; without a list it may.
    bool is_served(const std::string& service) const
    {
        return options_.services.empty() || std::ranges::count(options_.services, service) > 0;
    }

    static std::string label(std::string_view name, std::string_view value)
    {
        return std::string(name) + "=" + std::string(value);
    }

    void engine_opened() override;
    void engine_lost(const Error& why) override;
    void container_ended(const std::string& id, int exit_code) override;
    asio::awaitable<void> reconcile();
    void ended(Container& container, std::optional<int> exit_code);

    asio::awaitable<Result<std::shared_ptr<const Prepared>>> prepared();
    asio::awaitable<void> keep_firewall();

    /// Does blocking work on a helper thread.
    template <class Work>
    asio::awaitable<std::invoke_result_t<Work&>> offload(Work work)
    {
        if (closed_)
            co_return fail(Errc::stopping);
        co_return co_await helpers_.run(std::move(work));
    }

    asio::awaitable<Result<EngineReply>> call(std::string method, std::string path, std::string body = {},
                                              std::chrono::milliseconds limit = DockerEngine::short_work);
    static asio::awaitable<void> end_calls(std::weak_ptr<Impl> weak, std::string socket);
    bool give_up(DockerEngine::Clock::time_point begun);
    asio::awaitable<Result<std::string>> make_secret(const InstanceRequest& request);
    asio::awaitable<Result<void>> place_secret(const Container& container, std::string secret);
    asio::awaitable<Result<std::shared_ptr<Container>>> create(const InstanceRequest& request, std::string secret);
    asio::awaitable<Result<void>> run(Container& container);
    asio::awaitable<Result<UniqueFd>> attachment(const Container& container);
    asio::awaitable<Result<void>> locate(Container& container, Reach reach);
    asio::awaitable<Result<void>> look(Container& container, Reach reach);
    static asio::awaitable<void> keep_looking(std::weak_ptr<Impl> weak, std::shared_ptr<Container> container);
    asio::awaitable<Result<void>> rename(std::shared_ptr<Container> container);
    asio::awaitable<Result<void>> remove(std::string container);
    void remove_later(const std::string& container);
    asio::awaitable<void> retry_removals();
    asio::awaitable<void> remove_all(const std::vector<std::string>& containers);
    asio::awaitable<std::string> output(const Container& container);
    asio::awaitable<std::string> obituary(Container& container);
    asio::awaitable<std::string> explanation(Container& container);
    asio::awaitable<Result<Stream>> connect(std::shared_ptr<Container> container);
    asio::awaitable<Result<Stream>> connect_inside(std::shared_ptr<Container> container, asio::ip::address target);
    asio::awaitable<Result<OrphanInstance>> adopt(const nlohmann::json& summary, const ContainerName& name,
                                                  std::shared_ptr<const Prepared> prepared);
    bool is_usable(const nlohmann::json& summary, const ContainerName& name, const Prepared& prepared) const;
    void forget(const Container& container);

    const asio::any_io_executor control_;
    const std::string service_;
    const DockerOptions options_;
    Events& events_;
    DockerEngine engine_;
    DockerBridgeNetwork network_;
    DockerPreparation preparation_;
    asio::steady_timer firewall_look_;
    AsyncEvent given_up_;  ///< The end has come, and the engine does not answer.
    DockerWatch watch_;
    HelperThreads helpers_{8};
    HelperThreads namespace_thread_{1};
    std::atomic<bool> engine_lost_ = false;

    /// Only on the control executor.
    std::unordered_map<std::string, std::shared_ptr<Container>> containers_;
    std::vector<std::string> unremoved_;  ///< Containers that should be gone, by name or id.
    bool keeps_firewall_ = false;         ///< `keep_firewall` runs.
    bool ending_ = false;                 ///< `end_calls` has begun.
    bool closed_ = false;
};

}  // namespace instancer
