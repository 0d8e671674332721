// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <asio/thread_pool.hpp>

#include <instancer/bridge.hpp>
#include <instancer/session.hpp>
#include <instancer/unique_fd.hpp>

#include "config/settings.hpp"
#include "observe/log.hpp"
#include "observe/pcap.hpp"
#include "observe/reopened_files.hpp"

namespace instancer::daemon {

/// Writes the sessions of one service into files, `SERVICE-START-SESSION.pcap` each, which take up no more of the disk
/// than they may: the oldest go first.
///
/// The disk is written by a thread of its own, so that a slow one holds up no session: what waits for it is bounded,
/// and a session that it cannot follow is recorded no further.
///
/// Threads: any.
class Recorder final : public ReopenedFile {
public:
    class Recording;

    Recorder(std::string service, const RecordSettings& settings, Log& log);
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    /// Waits until all is written.
    ~Recorder() override;

    /// A recording whose file was moved or deleted goes on in a file of the same name.
    Parsed<void> reopen() override;

    /// Lifetime: the recorder must outlive it.
    std::unique_ptr<Recording> begin(const SessionInfo& session);

private:
    using Time = PcapStream::Time;

    class File;

    /// What may wait for the disk at once.
    static constexpr std::size_t most_pending = std::size_t{32} << 20;

    template <class Job>
    void post(const std::shared_ptr<File>& file, std::size_t bytes, Job job);

    // On the thread that writes.

    void open(File& file);
    void reopen(File& file);
    static UniqueFd create(const std::string& path);
    void write_data(File& file, Time time, PcapStream::From from, std::string_view data);
    void write(File& file, std::string_view packets);
    void finish(File& file);
    void give_up(File& file, const std::string& path, int error);
    void give_up(File& file, const std::string& why);
    bool make_room(std::uint64_t bytes);
    bool is_recording(const std::filesystem::path& file) const;

    std::string service_;
    RecordSettings settings_;
    Log& log_;
    std::atomic<std::size_t> pending_ = 0;
    std::uint64_t used_ = 0;  ///< Of the disk.
    bool rotates_ = false;    ///< The operator knows that recordings are deleted.
    bool failing_ = false;    ///< The operator knows that recordings fail.
    std::vector<std::weak_ptr<File>> files_;
    asio::thread_pool writer_{1};
};

/// One session on its way into a file.
///
/// Threads: that of the session.
class Recorder::Recording {
public:
    using From = PcapStream::From;

    Recording(Recorder& recorder, std::shared_ptr<File> file) : recorder_(recorder), file_(std::move(file)) {}

    void data(From from, std::span<const char> bytes);
    void finished(From from);
    void ended(BridgeEnd end);

private:
    Recorder& recorder_;
    std::shared_ptr<File> file_;
};

}  // namespace instancer::daemon
