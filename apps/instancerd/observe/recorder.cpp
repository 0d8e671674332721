// SPDX-License-Identifier: MIT
#include "observe/recorder.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/post.hpp>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::daemon {

namespace {

using instancer::UniqueFd;

constexpr std::string_view digits = "0123456789";

/// What a file of that size takes up on most file systems.
std::uint64_t on_disk(std::uint64_t size) { return (size + 4095) / 4096 * 4096; }

/// Where no real address is known, one of those for documentation (RFC 5737).
PcapStream packets_of(const SessionInfo& session)
{
    const auto& client = session.client;
    if (client.peer() && client.local()) {
        auto source = client.peer()->address(), target = client.local()->address();
        to_one_family(source, target);
        return {{source, client.peer()->port()}, {target, client.local()->port()}};
    }
    const auto port = static_cast<std::uint16_t>(1024 + session.id % 60'000);
    return {{asio::ip::make_address_v4("192.0.2.1"), port}, {asio::ip::make_address_v4("192.0.2.2"), 65'000}};
}

std::string stamp(PcapStream::Time time)
{
    const auto seconds = std::chrono::system_clock::to_time_t(time);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[32];
    return std::string(text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc));
}

/// Of all of `data`, or what the system reports.
int write_all(int fd, std::string_view data)
{
    while (!data.empty()) {
        const auto count = ::write(fd, data.data(), data.size());
        if (count < 0 && errno != EINTR)
            return errno;
        data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    return 0;
}

}  // namespace

/// Touched by the thread that writes, but for `over`.
class Recorder::File {
public:
    explicit File(const SessionInfo& session) : id(session.id), begin(Time::clock::now()), packets(packets_of(session))
    {
    }

    const std::uint64_t id;
    const Time begin;
    PcapStream packets;
    std::string path;
    UniqueFd fd;
    std::uint64_t size = 0;
    std::atomic<bool> over = false;  ///< Nothing more is recorded.
};

Recorder::Recorder(std::string service, const RecordSettings& settings, Log& log)
    : service_(std::move(service)), settings_(settings), log_(log)
{
    // Other programs may be deleting files at the same time.
    std::error_code error;
    for (std::filesystem::directory_iterator entry(settings_.directory, error), end; !error && entry != end;
         entry.increment(error)) {
        std::error_code gone;
        if (is_recording(entry->path()))
            if (const auto size = entry->file_size(gone); !gone)
                used_ += on_disk(size);
    }
}

Recorder::~Recorder() { writer_.join(); }

std::unique_ptr<Recorder::Recording> Recorder::begin(const SessionInfo& session)
{
    auto file = std::make_shared<File>(session);
    post(file, 0, [this, weak = std::weak_ptr(file)](File& opened) {
        std::erase_if(files_, [](const auto& old) { return old.expired(); });
        files_.push_back(weak);
        open(opened);
    });
    return std::make_unique<Recording>(*this, std::move(file));
}

template <class Job>
void Recorder::post(const std::shared_ptr<File>& file, std::size_t bytes, Job job)
{
    pending_ += bytes;
    asio::post(writer_, [this, file, bytes, job = std::move(job)] {
        try {
            job(*file);
        } catch (const std::bad_alloc&) {
            give_up(*file, file->path, ENOMEM);
        }
        pending_ -= bytes;
    });
}

void Recorder::Recording::data(From from, std::span<const char> bytes)
{
    constexpr std::size_t beside_data = 256;  // what a waiting piece takes up more than its bytes
    if (file_->over)
        return;
    if (recorder_.pending_ + bytes.size() + beside_data > most_pending) {
        file_->over = true;
        recorder_.log_.of_session(LogLevel::warning, recorder_.service_, file_->id,
                                  "session " + std::to_string(file_->id) +
                                      " is recorded no further: the disk does not keep up");
        return;
    }
    recorder_.post(
        file_, bytes.size() + beside_data,
        [&recorder = recorder_, from, time = Time::clock::now(),
         data = std::string(bytes.begin(), bytes.end())](File& file) { recorder.write_data(file, time, from, data); });
}

void Recorder::Recording::finished(From from)
{
    recorder_.post(file_, 0, [&recorder = recorder_, from, time = Time::clock::now()](File& file) {
        std::string packets;
        if (!file.over)
            file.packets.finish(packets, time, from);
        recorder.write(file, packets);
    });
}

void Recorder::Recording::ended(BridgeEnd end)
{
    recorder_.post(file_, 0, [&recorder = recorder_, end, time = Time::clock::now()](File& file) {
        std::string packets;
        // A client whose instance has ended is let go without having ended by itself.
        const bool let_go = end == BridgeEnd::completed && !file.packets.finished(From::client);
        if (!file.over && !let_go)
            file.packets.reset(packets, time, end == BridgeEnd::client_reset ? From::client : From::server);
        recorder.write(file, packets);
        recorder.finish(file);
    });
}

void Recorder::open(File& file)
{
    const auto name = service_ + "-" + stamp(file.begin) + "-" + std::to_string(file.id);
    // A daemon that was started again within a second counts its sessions from 1 again.
    for (int again = 1; again < 10 && !file.fd; ++again) {
        file.path = settings_.directory + "/" + name + (again > 1 ? "-" + std::to_string(again) : "") + ".pcap";
        file.fd = create(file.path);
        if (!file.fd && errno != EEXIST)
            break;
    }
    if (!file.fd)
        return give_up(file, settings_.directory, errno);
    std::string packets;
    file.packets.open(packets, file.begin);
    write(file, packets);
}

UniqueFd Recorder::create(const std::string& path)
{
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
    // Who deletes old recordings lets those alone that somebody writes.
    if (fd)
        ::flock(fd.get(), LOCK_EX | LOCK_NB);
    return fd;
}

Parsed<void> Recorder::reopen()
{
    asio::post(writer_, [this] {
        for (const auto& weak : files_)
            if (const auto file = weak.lock(); file && file->fd)
                reopen(*file);
    });
    return {};
}

void Recorder::reopen(File& file)
{
    struct stat ours {
    }, there{};
    const bool gone = ::stat(file.path.c_str(), &there) != 0;
    if (!gone && ::fstat(file.fd.get(), &ours) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        return;
    file.fd = create(file.path);
    file.size = 0;
    if (!file.fd)
        return give_up(file, file.path, errno);
    std::string header;
    PcapStream::begin_file(header);
    write(file, header);
}

void Recorder::write_data(File& file, Time time, PcapStream::From from, std::string_view data)
{
    if (!file.fd)
        return;
    auto fitting = data;
    if (settings_.limit != 0) {
        // Room for the packets that end the connection is kept.
        const auto used = file.size + file.packets.overhead(data.size()) + 3 * file.packets.overhead(0);
        fitting = data.substr(0, settings_.limit - std::min(settings_.limit, used));
    }
    std::string packets;
    file.packets.data(packets, time, from, fitting);
    write(file, packets);
    if (!file.fd || fitting.size() == data.size())
        return;
    finish(file);
    log_.of_session(LogLevel::info, service_, file.id,
                    "session " + std::to_string(file.id) + " is recorded no further: it has reached --record-limit");
}

void Recorder::write(File& file, std::string_view packets)
{
    if (!file.fd || packets.empty())
        return;
    const auto more = on_disk(file.size + packets.size()) - on_disk(file.size);
    if (!make_room(more))
        return give_up(file, "what is being recorded takes up all of --record-total");
    if (const int error = write_all(file.fd.get(), packets)) {
        // What is there of a packet would spoil the file.
        if (::ftruncate(file.fd.get(), static_cast<off_t>(file.size)) != 0)
            return give_up(file, file.path, errno);
        return give_up(file, file.path, error);
    }
    file.size += packets.size();
    used_ += more;
}

void Recorder::finish(File& file)
{
    file.over = true;
    if (!file.fd)
        return;
    file.fd.reset();
    if (std::exchange(failing_, false))
        log_.notice(service_, "sessions are recorded again");
}

void Recorder::give_up(File& file, const std::string& path, int error)
{
    give_up(file, "cannot record to " + path + ": " + std::generic_category().message(error));
}

void Recorder::give_up(File& file, const std::string& why)
{
    file.over = true;
    if (file.fd && file.size == 0)
        ::unlink(file.path.c_str());
    file.fd.reset();
    if (!std::exchange(failing_, true))
        log_.warning(service_, why + "; sessions go on without");
}

/// Whether `bytes` more may be used. The oldest recordings are deleted for that, a tenth of the total at once.
bool Recorder::make_room(std::uint64_t bytes)
{
    const auto total = settings_.total;
    if (total == 0 || used_ + bytes <= total)
        return true;
    struct Old {
        std::filesystem::file_time_type time;
        std::filesystem::path path;
        std::uint64_t size;
    };
    std::vector<Old> all;
    used_ = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(settings_.directory, error), end; !error && entry != end;
         entry.increment(error)) {
        std::error_code gone;
        if (!is_recording(entry->path()))
            continue;
        const auto size = entry->file_size(gone);
        const auto time = gone ? std::filesystem::file_time_type() : entry->last_write_time(gone);
        if (gone)
            continue;
        used_ += on_disk(size);
        all.push_back({time, entry->path(), on_disk(size)});
    }
    std::sort(all.begin(), all.end(), [](const Old& a, const Old& b) { return a.time < b.time; });
    for (const auto& old : all) {
        if (used_ + bytes <= total - total / 10)
            break;
        const UniqueFd fd(::open(old.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || ::unlink(old.path.c_str()) != 0)
            continue;
        used_ -= old.size;
        if (!std::exchange(rotates_, true))
            log_.notice(service_, "the recordings in " + settings_.directory +
                                      " have reached --record-total; the oldest are deleted from now on");
    }
    return used_ + bytes <= total;
}

/// By its name: `SERVICE-20261121T101500Z-42.pcap`.
bool Recorder::is_recording(const std::filesystem::path& file) const
{
    const auto name = file.filename().string();
    auto rest = std::string_view(name);
    const auto take = [&](std::string_view word) {
        const bool there = rest.substr(0, word.size()) == word;
        rest.remove_prefix(there ? word.size() : 0);
        return there;
    };
    const auto take_digits = [&](std::size_t least, std::size_t most) {
        const auto count = std::min(rest.find_first_not_of(digits), rest.size());
        rest.remove_prefix(count);
        return count >= least && count <= most;
    };
    if (!take(service_ + "-") || !take_digits(8, 8) || !take("T") || !take_digits(6, 6) || !take("Z-") ||
        !take_digits(1, 20))
        return false;
    return (!take("-") || take_digits(1, 1)) && rest == ".pcap";
}

}  // namespace instancer::daemon
