// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <instancer/result.hpp>

#include "docker_engine.hpp"

namespace instancer::detail::inline docker {

/// Hears from the engine, on a thread of its own, which containers end, and whether the engine is there at all.
class DockerWatch {
public:
    /// Called on the watch's thread.
    class Observer {
    public:
        virtual ~Observer() = default;

        /// From now on every end is reported. Ends before that must be asked for.
        virtual void engine_opened() = 0;
        /// It no longer answers. `engine_opened` follows when it is back.
        virtual void engine_lost(const Error& why) = 0;
        virtual void container_ended(const std::string& id, int exit_code) = 0;
    };

    /// `labels` select the containers, each `name=value`.
    DockerWatch(DockerEngine& engine, std::vector<std::string> labels, Observer& observer)
        : engine_(engine), labels_(std::move(labels)), observer_(observer)
    {
    }

    ~DockerWatch() { stop(); }

    /// Only the first call counts.
    void start();

    /// Stops the engine's calls too.
    void stop();

private:
    void run();
    void take(std::string_view piece);
    void take_line(const std::string& line);

    DockerEngine& engine_;
    const std::vector<std::string> labels_;
    Observer& observer_;
    std::string unfinished_line_;
    std::mutex mutex_;
    std::condition_variable stop_requested_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace instancer::detail::inline docker
