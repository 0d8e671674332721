// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace instancer::daemon {

/// Which denied connections have a line of the log each, and how many there are besides: denying them costs next to
/// nothing, and a denied client can bring that about any number of times.
///
/// Threads: one at a time.
class DeniedTally {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds window{10};    ///< A guess, like the next four.
    static constexpr std::size_t lines_per_source = 5;   ///< In a window, of a service.
    static constexpr std::size_t lines_in_all = 50;      ///< In a window.
    static constexpr std::size_t most_sources = 10'000;  ///< More are not told apart.
    static constexpr std::size_t most_summaries = 10;    ///< At the end of a window.

    /// Connections that had no line.
    class Summary {
    public:
        Summary(std::string of_service, std::string from, std::size_t connections)
            : service(std::move(of_service)), source(std::move(from)), count(connections)
        {
        }

        std::string service;  ///< Empty for all services and sources that are not told apart.
        std::string source;   ///< Empty where the service is.
        std::size_t count;
    };

    /// Counts a connection of `service` from `source`; whether it has a line.
    bool count(const std::string& service, const std::string& source, Clock::time_point now);

    /// Once the window is over, what there is to say of it, the largest number first; nothing before.
    std::vector<Summary> take(Clock::time_point now);

    /// What there is to say now.
    std::vector<Summary> take_all();

private:
    struct Counts {
        std::size_t told = 0, untold = 0;
    };

    std::map<std::pair<std::string, std::string>, Counts> counts_;  ///< By service and source.
    std::size_t lines_ = 0;
    std::size_t others_ = 0;  ///< Of sources for which there was no room.
    Clock::time_point end_;   ///< Of the window.
};

}  // namespace instancer::daemon
