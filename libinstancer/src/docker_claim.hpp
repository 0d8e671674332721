// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/result.hpp>

#include "docker_engine.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

/// This process's claim on a daemon's name at an engine: a container that never starts, whose name exists only once.
/// Its holder counts in it every few seconds. No clock of anybody counts: whoever wants the name watches whether the
/// claim changes.
///
/// Threads: any; `acquire` and the destructor block.
class DockerClaim {
public:
    using Notice = std::function<void(const std::string&)>;

    /// The process's only one for that engine and daemon: its services share it.
    static std::shared_ptr<DockerClaim> shared(const DockerOptions& options);

    explicit DockerClaim(const DockerOptions& options);
    DockerClaim(const DockerClaim&) = delete;
    DockerClaim& operator=(const DockerClaim&) = delete;
    /// Gives the name back.
    ~DockerClaim();

    /// Claims the name, unless it is claimed already. `image` is what the container is made of; `notice` hears of a
    /// claim that has to be watched.
    ///
    /// Errors: Errc::bad_request when another daemon holds the name, Errc::stopping once `interrupted`,
    /// Errc::backend_unavailable.
    Result<void> acquire(DockerEngine& engine, const ImageFacts& image, const std::atomic<bool>& interrupted,
                         const Notice& notice);

    /// Whether there is a container of ours to be removed.
    bool held() const;

    /// Who has taken the name over from this process; empty when it holds it, or has not claimed it.
    std::string lost() const;

private:
    class Holder;

    Result<std::string> create(DockerEngine& engine, const std::string& spec) const;
    Result<std::optional<Holder>> find(DockerEngine& engine) const;
    Result<void> remove(DockerEngine& engine, const Holder& holder) const;
    Result<void> taken(const Holder& holder) const;
    nlohmann::json make_spec(const ImageFacts& image) const;
    void keep();
    void renew();

    const std::string daemon_;
    const std::string address_;
    const std::chrono::milliseconds renewal_;
    const std::chrono::milliseconds patience_;
    DockerEngine engine_;  ///< What renewals speak through.
    std::mutex acquiring_;

    mutable std::mutex mutex_;
    std::condition_variable stop_requested_;
    bool stopping_ = false;
    std::string id_;  ///< Of our container; empty when there is none.
    std::string spec_;
    std::string lost_;
    unsigned count_ = 0;
    std::thread thread_;
};

}  // namespace instancer::detail::inline docker
