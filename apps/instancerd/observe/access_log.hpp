// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include <asio/thread_pool.hpp>

#include <instancer/events.hpp>
#include <instancer/unique_fd.hpp>

#include "observe/log.hpp"
#include "observe/patient_writer.hpp"
#include "observe/reopened_files.hpp"

namespace instancer::daemon {

/// Appends a line to a file for each session that has ended, see `access_record`.
///
/// A thread of its own writes, so that a session waits neither for a slow disk nor for a pipe that nobody reads: how
/// many lines may wait is bounded, and further ones are lost. The log tells of that once, and when it is over.
///
/// Lifetime: the log must outlive it.
/// Threads: any.
class AccessLog final : public Events, public ReopenedFile {
public:
    static Parsed<std::shared_ptr<AccessLog>> open(const std::string& file, Log& log);

    AccessLog(std::string file, UniqueFd fd, Log& log);

    /// Waits until all is written that the file takes.
    ~AccessLog() override;

    Parsed<void> reopen() override;

    void session_ended(const SessionSummary& summary) override;

private:
    static constexpr std::size_t most_pending = 16 * 1024;  ///< Lines; a guess: 10 MiB of usual ones.

    void lose(const std::string& why);

    // On the thread that writes.

    void write(std::string_view line);
    void note_written();

    const std::string file_;
    const UniqueFd fd_;  ///< Its number stays when the file is opened again.
    Log& log_;
    std::atomic<std::size_t> pending_ = 0;  ///< Lines that wait for the disk.
    std::atomic<std::size_t> lost_ = 0;     ///< Lines that nobody has been told of.
    std::atomic<bool> failing_ = false;     ///< The operator knows.
    PatientWriter writer_{fd_.get()};
    asio::thread_pool thread_{1};
};

}  // namespace instancer::daemon
