// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/admission/bans.hpp>
#include <instancer/async/helper_threads.hpp>

#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

class Log;

/// Reads bans, one a line: `deny NETWORK until TIME times N # reason`, of which `times N` may be left out. The error
/// names `file` and the line.
Parsed<std::vector<Ban>> parse_bans(std::string_view text, const std::string& file);

/// The bans as `parse_bans` reads them.
std::string print_bans(const std::vector<Ban>& bans);

/// Reads the file and parses it; there is no ban where there is no file.
Parsed<std::vector<Ban>> load_bans(const std::string& file);

/// The bans of a service: logged when they begin, and kept in a file if it has one.
///
/// An operator may change the file at any time: it is read again before anything is written to it.
///
/// Threads: any. Files are read and written on a thread of its own.
class BanKeeper {
public:
    /// Begins with what the file holds.
    ///
    /// Lifetime: `service` and `log` must outlive it.
    BanKeeper(const ServiceSettings& service, Log& log);

    const std::shared_ptr<Bans>& bans() const noexcept { return bans_; }

    /// Bans a network for that long, as an operator wishes.
    void ban(const Network& network, std::chrono::seconds duration, const std::string& reason);

    /// Ends the ban of exactly that network; false when there is none.
    bool unban(const Network& network);

    /// Reads the file again, and says in the log what came of it.
    void reload();

private:
    void note(const Ban& ban);

    /// Makes the file and the bans the same.
    void synchronize(bool tell);

    /// False when the file is wrong, or cannot be read.
    bool adopt(const Parsed<std::string>& text, const std::vector<Ban>& fresh, bool tell);

    const ServiceSettings& service_;
    Log& log_;
    std::shared_ptr<Bans> bans_;
    std::string written_;  ///< What the file held last; the thread's own.
    std::mutex mutex_;
    std::vector<Ban> fresh_;       ///< Those that the file has yet to hold.
    std::vector<Network> lifted_;  ///< Those that the file may still hold.
    HelperThreads thread_{1};
};

/// None for a service in which nobody is ever banned.
std::unique_ptr<BanKeeper> keep_bans(const ServiceSettings& service, Log& log);

}  // namespace instancer::daemon
