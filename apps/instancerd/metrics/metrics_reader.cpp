// SPDX-License-Identifier: MIT
#include "metrics/metrics_reader.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include <asio/post.hpp>

namespace instancer::daemon {

/// The answers to one question, some of which may come when nobody waits for them any more.
class MetricsReader::Round {
public:
    explicit Round(std::size_t workers) : delays_(workers) {}

    void answer(std::size_t worker, std::optional<std::vector<MetricsMoment::Service>> services)
    {
        const std::lock_guard lock(mutex_);
        delays_[worker] = waited();
        if (services)
            moment_.services = std::move(services);
        ++answers_;
        changed_.notify_all();
    }

    MetricsMoment wait(std::chrono::milliseconds patience)
    {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, patience, [this] { return answers_ == delays_.size(); });
        for (const auto& delay : delays_)
            moment_.loop_delays.push_back(delay.value_or(waited()));
        return std::move(moment_);
    }

private:
    using Clock = std::chrono::steady_clock;

    std::chrono::nanoseconds waited() const { return Clock::now() - begin_; }

    const Clock::time_point begin_ = Clock::now();
    std::mutex mutex_;  ///< Guards what follows.
    std::condition_variable changed_;
    std::vector<std::optional<std::chrono::nanoseconds>> delays_;
    MetricsMoment moment_;
    std::size_t answers_ = 0;
};

std::string MetricsReader::text(std::chrono::milliseconds patience) const
{
    const auto round = std::make_shared<Round>(workers_.size());
    // The first one is the control executor.
    asio::post(workers_.executor(0), [round, this] { round->answer(0, measure_()); });
    for (std::size_t i = 1; i < workers_.size(); ++i)
        asio::post(workers_.executor(i), [round, i] { round->answer(i, std::nullopt); });
    return metrics_.text(round->wait(patience), unadmitted_);
}

}  // namespace instancer::daemon
