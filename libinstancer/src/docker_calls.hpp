// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "docker_engine.hpp"

namespace instancer::detail::inline docker {

/// A backend's calls to its engine, for coroutines: they block helper threads instead of their callers.
///
/// Threads: the control executor, but for what is said of single functions.
class DockerCalls final : public std::enable_shared_from_this<DockerCalls> {
public:
    /// `address` is that of the engine.
    DockerCalls(asio::any_io_executor control, std::string address)
        : control_(std::move(control)), engine_(std::move(address)), given_up_(control_)
    {
    }

    /// The control executor.
    const asio::any_io_executor& get_executor() const noexcept { return control_; }

    /// For calls that may block.
    ///
    /// Threads: any.
    DockerEngine& engine() noexcept { return engine_; }

    /// Does blocking work on a helper thread.
    ///
    /// Errors: Errc::stopping once closed.
    template <class Work>
    asio::awaitable<std::invoke_result_t<Work&>> offload(Work work)
    {
        if (closed_)
            co_return fail(Errc::stopping);
        co_return co_await helpers_.run(std::move(work));
    }

    /// As `DockerEngine::call`.
    asio::awaitable<Result<EngineReply>> call(std::string method, std::string path, std::string body = {},
                                              std::chrono::milliseconds limit = DockerEngine::short_work);

    /// What the engine knows of a container.
    asio::awaitable<Result<EngineReply>> inspect(const std::string& id) { return call("GET", path_of(id) + "/json"); }

    /// The path of a container, named by name or id, at the engine.
    static std::string path_of(const std::string& container) { return "/containers/" + container; }

    /// A connection with the standard streams of a container.
    asio::awaitable<Result<UniqueFd>> attach_to(std::string id);

    /// Gives up the calls that wait for the engine: at once if it is silent, else after as long as a call may take at
    /// the end.
    void interrupt();

    /// Ends all calls, and lets later ones fail.
    void close();
    bool closed() const noexcept { return closed_; }

    /// Whether the engine is known to be away. Returns what was known before.
    ///
    /// Threads: any.
    bool set_engine_lost(bool lost) noexcept { return engine_lost_.exchange(lost); }
    bool engine_lost() const noexcept { return engine_lost_; }

private:
    static asio::awaitable<void> end_calls(std::weak_ptr<DockerCalls> weak, std::string socket);
    bool give_up(DockerEngine::Clock::time_point begun);

    const asio::any_io_executor control_;
    DockerEngine engine_;
    AsyncEvent given_up_;  ///< The end has come, and the engine does not answer.
    HelperThreads helpers_{8};
    std::atomic<bool> engine_lost_ = false;
    bool ending_ = false;  ///< `end_calls` has begun.
    bool closed_ = false;
};

}  // namespace instancer::detail::inline docker
