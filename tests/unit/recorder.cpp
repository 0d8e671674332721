// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "observe/recorder.hpp"
#include "pcap_reader.hpp"
#include "temporary_directory.hpp"

using namespace daemon_test;
using namespace std::chrono_literals;
using instancer::BridgeEnd;
using instancer::SessionInfo;
using instancer::daemon::Log;
using instancer::daemon::LogFormat;
using instancer::daemon::LogLevel;
using instancer::daemon::Recorder;
using instancer::daemon::RecordSettings;
using From = Recorder::Recording::From;

namespace {

class Recorded {
public:
    Recorded() { settings.directory = directory.path(); }

    void begin() { recorder = std::make_unique<Recorder>("web", settings, log); }

    std::unique_ptr<Recorder::Recording> session(std::uint64_t id) const
    {
        SessionInfo session;
        session.id = id;
        return recorder->begin(session);
    }

    /// One from beginning to end.
    void record(std::uint64_t id, const std::string& text) const
    {
        const auto recording = session(id);
        recording->data(From::client, text);
        recording->finished(From::client);
        recording->finished(From::server);
        recording->ended(BridgeEnd::completed);
    }

    /// Waits until all is written.
    void end() { recorder.reset(); }

    /// Names of the files.
    std::vector<std::string> files() const
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }

    std::uint64_t used() const
    {
        std::uint64_t all = 0;
        for (const auto& name : files())
            all += (std::filesystem::file_size(directory.path(name)) + 4095) / 4096 * 4096;
        return all;
    }

    /// A recording of former days; the higher its number, the older.
    std::string old(int number, const std::string& service = "web") const
    {
        const auto name = service + "-20200101T000000Z-" + std::to_string(number) + ".pcap";
        directory.file(name, std::string(4096, 'x'));
        std::filesystem::last_write_time(directory.path(name),
                                         std::filesystem::file_time_type::clock::now() - number * 1h);
        return name;
    }

    bool has(const std::string& name) const { return std::filesystem::exists(directory.path(name)); }

    TemporaryDirectory directory;
    RecordSettings settings;
    std::unique_ptr<Recorder> recorder;

private:
    Log log{LogLevel::error, LogFormat::text};
};

}  // namespace

TEST_CASE("recorder: a file of each session, for nobody else to read")
{
    Recorded recorded;
    recorded.begin();
    recorded.record(7, "seven");
    recorded.record(8, "eight");
    recorded.end();
    const auto files = recorded.files();
    REQUIRE(files.size() == 2);
    CHECK(files[0].find("web-20") == 0);
    CHECK(files[0].substr(files[0].size() - 8) == "Z-7.pcap");
    struct stat status {};
    REQUIRE(::stat(recorded.directory.path(files[0]).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const Conversation seven(contents_of(recorded.directory.path(files[0])));
    CHECK(seven.from_client_bytes == "seven");
    CHECK(seven.client == "192.0.2.1 1031");
    CHECK(seven.flags.back() == "< A");
    CHECK(Conversation(contents_of(recorded.directory.path(files[1]))).from_client_bytes == "eight");
}

TEST_CASE("recorder: a session between addresses of two families is one of IPv6")
{
    Recorded recorded;
    recorded.begin();
    SessionInfo session;
    session.id = 1;
    session.client =
        instancer::ClientInfo({asio::ip::make_address("::1"), 5000}, {asio::ip::make_address("10.0.0.1"), 80});
    const auto recording = recorded.recorder->begin(session);
    recording->data(From::client, std::string("text"));
    recording->ended(BridgeEnd::cancelled);
    recorded.end();
    const Conversation read(contents_of(recorded.directory.path(recorded.files().at(0))));
    CHECK(read.client == "::1 5000");
    CHECK(read.from_client_bytes == "text");
}

TEST_CASE("recorder: sessions of the same number keep apart")
{
    Recorded recorded;
    recorded.begin();
    for (int i = 0; i < 3; ++i)
        recorded.record(1, "text");
    recorded.end();
    CHECK(recorded.files().size() == 3);
}

TEST_CASE("recorder: a session is recorded up to its limit, the last packet in part")
{
    Recorded recorded;
    recorded.settings.limit = 10'000;
    recorded.begin();
    std::string all;
    const auto recording = recorded.session(1);
    for (int i = 0; i < 10; ++i) {
        const std::string piece(3000, static_cast<char>('a' + i));
        recording->data(From::server, piece);
        all += piece;
    }
    recording->ended(BridgeEnd::cancelled);
    recorded.end();
    const auto file = contents_of(recorded.directory.path(recorded.files().at(0)));
    CHECK(file.size() <= 10'000);
    CHECK(file.size() > 9'000);
    const Conversation read(file);
    CHECK(bool(all.compare(0, read.from_server_bytes.size(), read.from_server_bytes) == 0));
    CHECK(read.from_server_bytes.size() > 9'000);
}

TEST_CASE("recorder: the oldest recordings make room, those of others stay")
{
    Recorded recorded;
    recorded.settings.total = 20 * 4096;
    for (int i = 1; i <= 19; ++i)
        recorded.old(i);
    const auto neighbour = recorded.old(50, "web-2");
    recorded.directory.file("web-notes.pcap", "mine");
    recorded.directory.file("web-20200101T000000Z-1.txt", "mine");
    recorded.begin();
    recorded.record(1, "fits");
    recorded.end();
    CHECK(recorded.has("web-20200101T000000Z-19.pcap"));

    recorded.begin();
    recorded.record(2, "does not fit any more");
    recorded.end();
    // A tenth goes at once.
    CHECK_FALSE(recorded.has("web-20200101T000000Z-19.pcap"));
    CHECK_FALSE(recorded.has("web-20200101T000000Z-17.pcap"));
    CHECK(recorded.has("web-20200101T000000Z-16.pcap"));
    CHECK(recorded.has(neighbour));
    CHECK(recorded.has("web-notes.pcap"));
    CHECK(recorded.has("web-20200101T000000Z-1.txt"));
    // What was recorded just now, and what belongs to others.
    const auto files = recorded.files();
    CHECK(std::count_if(files.begin(), files.end(), [](const auto& name) { return name.find("web-2020") != 0; }) == 4);
}

TEST_CASE("recorder: a recording that is being written is not deleted; when only such are left, no more is recorded")
{
    Recorded recorded;
    recorded.settings.total = 10 * 4096;
    recorded.begin();
    std::vector<std::unique_ptr<Recorder::Recording>> going_on;
    for (std::uint64_t id = 1; id <= 10; ++id) {
        going_on.push_back(recorded.session(id));
        going_on.back()->data(From::client, std::string("begin"));
    }
    for (int i = 0; i < 20; ++i)
        recorded.record(100, "too much");
    going_on.front()->data(From::client, std::string(1000, 'x'));
    for (const auto& recording : going_on)
        recording->ended(BridgeEnd::cancelled);
    recorded.end();
    const auto files = recorded.files();
    CHECK(files.size() == 10);
    CHECK(recorded.used() <= recorded.settings.total);
    for (const auto& name : files)
        CHECK(Conversation(contents_of(recorded.directory.path(name))).from_client_bytes.find("begin") == 0);
}

TEST_CASE("recorder: without its directory nothing happens")
{
    Recorded recorded;
    recorded.settings.directory += "/none";
    recorded.begin();
    recorded.record(1, "text");
    recorded.end();
    CHECK(recorded.files().empty());
}
