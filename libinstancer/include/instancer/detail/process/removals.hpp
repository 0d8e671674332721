// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <exception>
#include <string>
#include <utility>

#include <instancer/async/helper_threads.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/events.hpp>

namespace instancer::detail {

/// Removes directories one after another on a thread of its own: an instance decides how long one takes.
class Removals {
public:
    /// Warns of what cannot be removed.
    Removals(std::string service, Events& events) : service_(std::move(service)), events_(events), thread_(1) {}
    ~Removals() { stop(); }

    /// Removes `directory` with all that is in it.
    void remove_all(std::string directory)
    {
        post([directory = std::move(directory)](auto report, const auto& stop) {
            TreeRemover(directory, std::move(report), &stop).remove_all();
        });
    }

    /// Removes the entry `name` of `directory`.
    void remove(std::string directory, std::string name)
    {
        post([directory = std::move(directory), name = std::move(name)](auto report, const auto& stop) {
            TreeRemover(directory, std::move(report), &stop).remove(name);
        });
    }

    /// Leaves the rest to the cleanup process.
    void stop()
    {
        stop_ = true;
        thread_.join();
    }

private:
    template <class Work>
    void post(Work work)
    {
        thread_.post([this, work = std::move(work)] {
            if (stop_)
                return;
            try {
                work([this](const std::string& text) { events_.warning(service_, text); }, stop_);
            } catch (const std::exception& error) {
                events_.warning(service_, std::string("removing a directory: ") + error.what());
            }
        });
    }

    const std::string service_;
    Events& events_;
    std::atomic<bool> stop_{false};
    HelperThreads thread_;
};

}  // namespace instancer::detail
