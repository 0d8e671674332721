// SPDX-License-Identifier: MIT
#include "flags/flag_log.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/text/utc_time.hpp>
#include <instancer/unique_fd.hpp>

#include "config/text.hpp"

namespace instancer::daemon {

namespace {

/// Whether no line was left half-written, as when there was no more room.
bool ends_with_line(const std::string& file)
{
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
        return true;
    std::ifstream log(file);
    char last = '\n';
    log.seekg(-1, std::ios::end).get(last);
    return last == '\n';
}

}  // namespace

Parsed<void> log_flag(const std::string& file, const IssuedFlag& issued)
{
    auto line = to_utc(std::chrono::system_clock::now()) + "\t" + issued.service + "\t" + issued.owner + "\t" +
                issued.identity + "\t" + one_line(issued.label, 200) + "\t" + issued.flag + "\n";
    const auto failed = [&file](int error) {
        return wrong("the flag cannot be written to " + file + ": " + std::strerror(error) +
                     "; make room or correct the path, because no instance starts until then");
    };
    const UniqueFd log(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600));
    if (!log)
        return failed(errno);
    if (!ends_with_line(file))
        line.insert(0, "\n");
    const auto count = ::write(log.get(), line.data(), line.size());
    if (count == static_cast<ssize_t>(line.size()))
        return {};
    return failed(count < 0 ? errno : ENOSPC);
}

Parsed<void> read_flag_log(const std::string& file, const std::function<void(IssuedFlag)>& found)
{
    std::ifstream log(file);
    if (!log && errno != ENOENT)
        return wrong("cannot read " + file + ": " + std::strerror(errno));
    for (std::string line; std::getline(log, line);) {
        auto fields = split(line, '\t');
        if (fields.size() != 6)
            continue;
        IssuedFlag issued;
        issued.service = std::move(fields[1]);
        issued.owner = std::move(fields[2]);
        issued.identity = std::move(fields[3]);
        issued.label = std::move(fields[4]);
        issued.flag = std::move(fields[5]);
        found(std::move(issued));
    }
    if (log.bad())
        return wrong("cannot read " + file + " to its end");
    return {};
}

}  // namespace instancer::daemon
