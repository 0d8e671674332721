// SPDX-License-Identifier: MIT
#include "docker_calls.hpp"

#include <variant>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

#include "docker_attach.hpp"

namespace instancer::detail::inline docker {

namespace {

constexpr std::chrono::seconds end_limit{10};

}  // namespace

asio::awaitable<Result<EngineReply>> DockerCalls::call(std::string method, std::string path, std::string body,
                                                       std::chrono::milliseconds limit)
{
    auto work = [this, method = std::move(method), path = std::move(path), body = std::move(body), limit] {
        return engine_.call(method, path, body, limit);
    };
    co_return co_await offload(std::move(work));
}

asio::awaitable<Result<UniqueFd>> DockerCalls::attach_to(std::string id)
{
    using namespace asio::experimental::awaitable_operators;
    auto ask = [this] { return engine_.version_prefix(); };
    const auto version = co_await offload(std::move(ask));
    if (!version)
        co_return fail(version.error());
    auto first = co_await (attach(engine_.socket_path(), *version, id) || given_up_.wait());
    if (first.index() != 0)
        co_return fail(Errc::stopping);
    co_return std::move(std::get<0>(first));
}

void DockerCalls::interrupt()
{
    if (std::exchange(ending_, true))
        return;
    engine_.hurry(end_limit);
    asio::co_spawn(control_, end_calls(weak_from_this(), engine_.socket_path()), asio::detached);
}

asio::awaitable<void> DockerCalls::end_calls(std::weak_ptr<DockerCalls> weak, std::string socket)
{
    const auto executor = co_await asio::this_coro::executor;
    auto begun = DockerEngine::Clock::now();
    asio::steady_timer pause(executor);
    const bool answers = co_await engine_answers(std::move(socket));
    if (answers) {
        pause.expires_at(begun + end_limit);
        co_await pause.async_wait(as_result);
    } else {
        begun = DockerEngine::Clock::time_point::max();
        if (const auto self = weak.lock())
            self->engine_.close();
    }
    for (;;) {
        if (const auto self = weak.lock(); !self || self->closed_ || self->give_up(begun))
            co_return;
        pause.expires_after(std::chrono::milliseconds(10));
        co_await pause.async_wait(as_result);
    }
}

/// Interrupts the calls that had begun by then. Whether none is left.
bool DockerCalls::give_up(DockerEngine::Clock::time_point begun)
{
    given_up_.set();
    return engine_.interrupt(begun);
}

void DockerCalls::close()
{
    closed_ = true;
    engine_.stop();
    helpers_.join();
}

}  // namespace instancer::detail::inline docker
