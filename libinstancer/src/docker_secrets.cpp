// SPDX-License-Identifier: MIT
#include "docker_secrets.hpp"

#include <utility>

#include "docker_json.hpp"
#include "docker_process.hpp"

namespace instancer::detail::inline docker {

asio::awaitable<Result<std::string>> ContainerSecrets::make(const InstanceRequest& request)
{
    if (!options_.is_for(request))
        co_return std::string();
    auto make = [this, &request] { return options_.make(request); };
    co_return co_await calls_.offload(std::move(make));
}

asio::awaitable<Result<void>> ContainerSecrets::place(const Container& container, std::string secret)
{
    if (!options_.has_file())
        co_return Result<void>();
    const auto reply = co_await calls_.inspect(container.id);
    if (!reply)
        co_return fail(reply.error());
    constexpr int gone = 404;
    if (!reply->ok() && reply->status() != gone)
        co_return fail(Errc::start_failed, "looking for the process of a container: " + reply->message());
    const auto pid = value_at(object_at(reply->json(), "State"), "Pid", 0);
    if (pid == 0)
        co_return Result<void>();
    auto write = [this, pid, id = container.id, secret = std::move(secret)] {
        return write_secret(pid, id, options_, secret);
    };
    co_return co_await calls_.offload(std::move(write));
}

}  // namespace instancer::detail::inline docker
