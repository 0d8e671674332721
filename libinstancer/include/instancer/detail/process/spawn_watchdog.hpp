// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <list>
#include <mutex>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

namespace instancer::detail {

/// Kills children that have not executed a program in time, because the thread that starts one waits for that, and
/// whoever runs as the child's user can stop it.
///
/// Threads: any.
class SpawnWatchdog {
public:
    explicit SpawnWatchdog(std::chrono::milliseconds patience = std::chrono::seconds(1))
        : patience_(patience), thread_([this] { run(); })
    {
    }
    SpawnWatchdog(const SpawnWatchdog&) = delete;

    ~SpawnWatchdog()
    {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }

    /// One child, from before its birth until it has executed a program.
    class Watch {
    public:
        explicit Watch(SpawnWatchdog& by) : by_(by), deadline_(Clock::now() + by.patience_) { by_.add(*this); }
        Watch(const Watch&) = delete;
        ~Watch() { by_.remove(*this); }

        /// Where the kernel writes the descriptor of the child as soon as there is one.
        int* pidfd() noexcept { return &pidfd_; }

        /// No kill from here on. True: there was one.
        bool end()
        {
            by_.remove(*this);
            return killed_;
        }

    private:
        friend class SpawnWatchdog;
        SpawnWatchdog& by_;
        std::chrono::steady_clock::time_point deadline_;
        int pidfd_ = -1;
        bool killed_ = false;
    };

private:
    using Clock = std::chrono::steady_clock;

    void add(Watch& watch)
    {
        const std::lock_guard lock(mutex_);
        // While another one is watched the thread wakes early enough for this one, too.
        if (watched_.empty())
            changed_.notify_one();
        watched_.push_back(&watch);
    }

    void remove(Watch& watch)
    {
        const std::lock_guard lock(mutex_);
        watched_.remove(&watch);
    }

    void run()
    {
        std::unique_lock lock(mutex_);
        while (!ending_) {
            if (watched_.empty()) {
                changed_.wait(lock);
            } else if (auto& next = *watched_.front(); next.deadline_ > Clock::now()) {
                changed_.wait_until(lock, Clock::time_point(next.deadline_));
            } else {
                watched_.pop_front();
                kill(next);
            }
        }
    }

    void kill(Watch& watch)
    {
        const int pidfd = std::atomic_ref(watch.pidfd_).load();
        if (pidfd >= 0 && ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0) {
            watch.killed_ = true;
            return;
        }
        // It is not born yet.
        watch.deadline_ = Clock::now() + patience_;
        watched_.push_back(&watch);
    }

    const std::chrono::milliseconds patience_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::list<Watch*> watched_;  ///< In the order of their deadlines.
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace instancer::detail
