// SPDX-License-Identifier: MIT
#include "observe/access_log.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <asio/post.hpp>
#include <fcntl.h>
#include <unistd.h>

#include "config/text.hpp"
#include "observe/access_record.hpp"
#include "observe/output_file.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view purpose = "the access log";

/// What there is of a line would spoil the file. A pipe cannot be mended, and takes short lines as a whole.
void take_back(int fd, std::size_t bytes)
{
    const auto end = ::lseek(fd, 0, SEEK_CUR);
    if (bytes != 0 && end >= static_cast<off_t>(bytes))
        static_cast<void>(::ftruncate(fd, end - static_cast<off_t>(bytes)));
}

}  // namespace

Parsed<std::shared_ptr<AccessLog>> AccessLog::open(const std::string& file, Log& log)
{
    auto fd = open_to_append(file, purpose);
    if (!fd)
        return wrong(fd.error());
    return std::make_shared<AccessLog>(file, std::move(*fd), log);
}

AccessLog::AccessLog(std::string file, UniqueFd fd, Log& log) : file_(std::move(file)), fd_(std::move(fd)), log_(log) {}

AccessLog::~AccessLog()
{
    writer_.close();
    thread_.join();
}

Parsed<void> AccessLog::reopen()
{
    const auto fd = open_to_append(file_, purpose);
    if (!fd)
        return wrong(fd.error() + "; it stays where it was");
    if (::dup3(fd->get(), fd_.get(), O_CLOEXEC) < 0)
        return wrong(file_ + " cannot be opened again: " + std::generic_category().message(errno));
    return {};
}

void AccessLog::session_ended(const SessionSummary& summary)
{
    if (++pending_ > most_pending) {
        --pending_;
        return lose("nothing takes its lines in time");
    }
    const auto label = summary.label.empty() ? log_.label_of(summary.service, summary.owner) : summary.label;
    asio::post(thread_, [this, line = access_record(summary, label, std::chrono::system_clock::now())] {
        write(line);
        --pending_;
    });
}

void AccessLog::lose(const std::string& why)
{
    ++lost_;
    if (!failing_.exchange(true))
        log_.warning({},
                     file_ + " cannot be written: " + why + "; sessions are missing in the access log until it can");
}

void AccessLog::write(std::string_view line)
{
    if (const auto written = writer_.write(line); written < line.size()) {
        const int error = errno;
        take_back(fd_.get(), written);
        return lose(std::generic_category().message(error));
    }
    // Not at the first of many lines that wait.
    if (failing_ && pending_ <= most_pending / 2)
        note_written();
}

void AccessLog::note_written()
{
    failing_ = false;
    log_.notice({}, file_ + " is written again; " + counted(lost_.exchange(0), "session") + " are missing in it");
}

}  // namespace instancer::daemon
