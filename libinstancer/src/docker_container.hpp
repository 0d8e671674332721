// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/instance.hpp>
#include <instancer/unique_fd.hpp>

#include "docker_bridge_network.hpp"
#include "docker_preparation.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

/// One container of ours, and what its instance is known by.
class Container final : public Instance::State {
public:
    /// Of its last output: so many lines, and one more than so many bytes at most.
    static constexpr std::size_t most_lines = 20, most_bytes = 2048;

    Container(const asio::any_io_executor& control, std::string container_id, ContainerName container_name,
              std::shared_ptr<const Prepared> made_from)
        : id(std::move(container_id)),
          name(container_name.text()),
          prepared(std::move(made_from)),
          current_name(std::move(container_name)),
          ended(control)
    {
    }

    const std::string id;
    const std::string name;  ///< In logs: what it was called when this run met it.
    const std::shared_ptr<const Prepared> prepared;

    std::uint16_t port = 0;

    /// Constant once `located`.
    UniqueFd network_namespace;
    std::optional<DockerBridgeNetwork::Address> address;

    std::atomic<bool> located = false;  ///< Where it can be reached is known.
    std::atomic<bool> opened = false;
    std::atomic<bool> gone = false;

    /// Only on the control executor.
    ContainerName current_name;
    AsyncEvent ended;
    std::optional<int> exit_code;
    bool started = false;
    bool stopping = false;

    /// It has ended; what is told of that later does not count.
    void end(std::optional<int> code)
    {
        if (ended.is_set())
            return;
        exit_code = code;
        gone = true;
        ended.set();
    }

    UniqueFd take_attachment()
    {
        const std::lock_guard lock(mutex_);
        return std::move(attachment_);
    }

    void attachment(UniqueFd fd)
    {
        const std::lock_guard lock(mutex_);
        attachment_ = std::move(fd);
    }

    /// Keeps the last lines of standard error, where the engine keeps none.
    void remember(std::string_view line)
    {
        const std::lock_guard lock(mutex_);
        last_lines_.emplace_back(line);
        last_bytes_ += line.size();
        while (last_lines_.size() > most_lines || (last_bytes_ > most_bytes && last_lines_.size() > 1)) {
            last_bytes_ -= last_lines_.front().size();
            last_lines_.pop_front();
        }
    }

    std::string last_lines() const
    {
        const std::lock_guard lock(mutex_);
        std::string out;
        for (const auto& line : last_lines_)
            out += line + "\n";
        return out;
    }

private:
    mutable std::mutex mutex_;
    UniqueFd attachment_;
    std::deque<std::string> last_lines_;
    std::size_t last_bytes_ = 0;  ///< In them.
};

}  // namespace instancer::detail::inline docker
