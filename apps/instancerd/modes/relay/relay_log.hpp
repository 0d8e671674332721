// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include <instancer/relay/relay_observer.hpp>

#include "observe/log.hpp"

namespace instancer::daemon {

/// Tells the log what happens in channels, as much of it as is wanted now.
///
/// Threads: any.
class RelayLog final : public RelayObserver {
public:
    /// Lifetime: `log` must outlive this.
    RelayLog(std::string service, unsigned verbosity, Log& log)
        : service_(std::move(service)), verbosity_(verbosity), log_(log)
    {
    }

    /// 1: who joins and leaves; 3: the size of all that is sent, too; 4: the bytes.
    unsigned verbosity() const noexcept { return verbosity_; }
    void set_verbosity(unsigned value) noexcept { verbosity_ = value; }

    /// The only channel of which what is sent is shown; all when it is empty.
    void show_only(std::string channel);

    void joined(const RelayMemberInfo& member, std::size_t members) override;
    void left(const RelayMemberInfo& member, std::size_t members) override;
    void cut(const RelayMemberInfo& member, std::string_view why) override;
    void passed(const RelayMemberInfo& member, std::span<const std::byte> data) override;

private:
    void note(const RelayMemberInfo& member, const std::string& what, std::size_t members);
    bool shows(const std::string& channel);

    std::string service_;
    std::atomic<unsigned> verbosity_;
    Log& log_;
    std::mutex mutex_;
    std::string only_;
};

}  // namespace instancer::daemon
