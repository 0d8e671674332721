// SPDX-License-Identifier: MIT
#include "docker_watch.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "docker_json.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

void DockerWatch::start()
{
    const std::lock_guard lock(mutex_);
    if (!thread_.joinable() && !stopping_)
        thread_ = std::thread([this] { run(); });
}

void DockerWatch::stop()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_requested_.notify_all();
    engine_.stop();
    if (thread_.joinable())
        thread_.join();
}

void DockerWatch::run()
{
    constexpr std::chrono::milliseconds first_pause(50), last_pause(1000);
    const json filters = {{"type", {"container"}}, {"event", {"die"}}, {"label", labels_}};
    const auto path = "/events?filters=" + percent_encoded(filters.dump());
    auto pause = first_pause;
    bool lost = false;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        lock.unlock();
        bool opened = false;
        unfinished_line_.clear();
        const auto end = engine_.stream(
            "GET", path,
            [&] {
                opened = true;
                observer_.engine_opened();
            },
            [this](std::string_view piece) { take(piece); });
        // An engine that ends the answer may be stopping, and may come back as another version.
        engine_.forget_version();
        lock.lock();
        if (stopping_ || engine_.closed())
            break;
        if (opened) {
            lost = false;
            pause = first_pause;
        } else if (!lost) {
            lost = true;
            observer_.engine_lost(end ? Error(Errc::backend_unavailable, end->message()) : end.error());
        }
        stop_requested_.wait_for(lock, pause, [this] { return stopping_; });
        pause = std::min(pause * 2, last_pause);
    }
}

void DockerWatch::take(std::string_view piece)
{
    while (!piece.empty()) {
        const auto end = piece.find('\n');
        unfinished_line_ += piece.substr(0, end);
        if (end == piece.npos)
            return;
        take_line(unfinished_line_);
        unfinished_line_.clear();
        piece.remove_prefix(end + 1);
    }
}

void DockerWatch::take_line(const std::string& line)
{
    const auto actor = object_at(json::parse(line, nullptr, false), "Actor");
    const auto code = text_at(object_at(actor, "Attributes"), "exitCode");
    observer_.container_ended(text_at(actor, "ID"), static_cast<int>(std::strtol(code.c_str(), nullptr, 10)));
}

}  // namespace instancer::detail::inline docker
