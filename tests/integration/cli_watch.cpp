// SPDX-License-Identifier: MIT
// The access log, and that files are opened again.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <pcap_reader.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using Json = nlohmann::json;

namespace {

const Words cat = {"/bin/cat"};

/// Sends a line and ends; what comes back.
std::string talk(RawClient client, const std::string& line)
{
    client.send(line + "\n");
    client.half_close();
    return client.receive_all();
}

/// The complete lines of a file, each an object.
std::vector<Json> records_in(const std::string& path)
{
    std::vector<Json> records;
    const auto text = contents_of(path);
    for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        records.push_back(Json::parse(text.substr(begin, end - begin)));
    return records;
}

/// The records, once there are so many.
std::vector<Json> records_in(const std::string& path, std::size_t count)
{
    CHECK(eventually([&] { return records_in(path).size() >= count; }));
    auto records = records_in(path);
    REQUIRE(records.size() == count);
    return records;
}

/// A daemon on a Unix socket, whose log may be anywhere.
class Quiet : public Child {
public:
    Quiet(const TemporaryDirectory& directory, const Words& options)
        : Child(instancerd(words(directory, options))), path_(directory.path("s"))
    {
        REQUIRE(eventually([&] { return RawClient(path_).connected(); }));
    }

    std::string talk(const std::string& line) const { return ::talk(RawClient(path_), line); }

private:
    static Words words(const TemporaryDirectory& directory, const Words& options)
    {
        auto all = exec({"--listen", "unix:" + directory.path("s")}, cat);
        all.insert(all.begin() + 1, options.begin(), options.end());
        return all;
    }

    const std::string path_;
};

}  // namespace

TEST_CASE("access log: a line for each session, with how long its steps took")
{
    const TemporaryDirectory directory;
    const auto tokens = directory.file("tokens", "red\tTeam Red\n"), file = directory.path("access");
    Daemon daemon(exec({"--auth", "prompt", "--tokens", tokens, "--linger", "0", "--access-log", file}, cat));
    CHECK(talk(RawClient(daemon.port()), "red\nhello") == "token: hello\n");
    CHECK(daemon.wait_for_line("session ended") != "");
    CHECK(talk(RawClient(daemon.port()), "blue") == "token: unknown token\n");
    CHECK(daemon.terminate() == 0);
    const auto records = records_in(file, 2);

    const auto& served = records[0];
    CHECK(served["service"] == "exec");
    CHECK(served["session"] == 1);
    CHECK(served["client"].get<std::string>().starts_with("127.0.0.1:"));
    CHECK(served["source"] == "127.0.0.1");
    CHECK(served["label"] == "Team Red");
    CHECK(served["instance"].get<std::string>().starts_with("pid "));
    CHECK(served["end"] == "both");
    CHECK(served["reason"] == "completed");
    CHECK(served["bytes_up"] == 6);
    CHECK(served["bytes_down"] == 6);
    CHECK(served["stages"]["authentication"] > 0.0);
    CHECK(served["start"] > 0.0);
    const double steps = served["stages"]["authentication"].get<double>() + served["waiting"].get<double>() +
                         served["start"].get<double>();
    CHECK(steps <= served["joined"].get<double>() + 0.001);
    CHECK(served["joined"] <= served["first_byte"]);
    CHECK(served["first_byte"] <= served["duration"]);

    const auto& rejected = records[1];
    CHECK(rejected["end"] == "rules");
    CHECK(rejected["reason"] == "rejected");
    CHECK(rejected["owner"].is_null());
    CHECK(rejected["instance"].is_null());
    CHECK(rejected["waiting"].is_null());
    CHECK(rejected["joined"].is_null());
    CHECK(rejected["first_byte"].is_null());
    CHECK(daemon.log().find("blue") == std::string::npos);
    CHECK(contents_of(file).find("blue") == std::string::npos);
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK((status.st_mode & 0137) == 0);
}

TEST_CASE("access log: a full disk holds up no session, and is told once; so is its end")
{
    const TemporaryDirectory directory;
    const auto link = directory.path("access"), file = directory.path("file");
    std::filesystem::create_symlink("/dev/full", link);
    Daemon daemon(exec({"--access-log", link}, cat));
    for (int i = 0; i < 5; ++i)
        CHECK(talk(RawClient(daemon.port()), "hello") == "hello\n");
    CHECK(daemon.wait_for_line(link + " cannot be written: No space left on device") != "");
    CHECK(daemon.wait_for_line("session ended", 5) != "");
    std::filesystem::remove(link);
    std::filesystem::create_symlink(file, link);
    daemon.signal(SIGUSR2);
    REQUIRE(eventually([&] { return std::filesystem::exists(file); }));
    // The file may be there an instant before it is written to.
    std::size_t more = 0;
    CHECK(eventually([&] {
        ++more;
        return talk(RawClient(daemon.port()), "hello") == "hello\n" && daemon.count(" is written again; ") == 1;
    }));
    CHECK(daemon.terminate() == 0);
    CHECK(daemon.count("cannot be written") == 1);
    CHECK(daemon.count("is written again") == 1);
    CHECK(records_in(file).back()["session"] == 5 + more);
}

TEST_CASE("access log: a pipe that nobody reads holds up neither a start nor a session nor the end")
{
    const TemporaryDirectory directory;
    const auto pipe = directory.path("pipe");
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const auto words = exec({"--access-log", pipe}, cat);
    Child refused(instancerd(words));
    CHECK(refused.wait() == 1);
    CHECK(refused.wait_for_line(pipe + " cannot be opened for the access log: it is a pipe that nobody reads") != "");

    const instancer::UniqueFd reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(::fcntl(reader.get(), F_SETPIPE_SZ, 4096) == 4096);
    Daemon daemon(words);
    for (int i = 0; i < 20; ++i)
        CHECK(talk(RawClient(daemon.port()), "hello") == "hello\n");
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("SIGUSR2 opens the log and the access log again, and reads nothing else")
{
    const TemporaryDirectory directory;
    const auto log = directory.path("log"), access = directory.path("access");
    const auto rules = directory.file("rules", "deny 192.0.2.1\n");
    Quiet daemon(directory, {"--log", log, "--access-log", access, "--access-file", rules});
    CHECK(daemon.talk("one") == "one\n");
    CHECK(eventually([&] { return records_in(access).size() == 2; }));
    std::filesystem::rename(log, log + ".1");
    std::filesystem::rename(access, access + ".1");
    daemon.signal(SIGUSR2);
    REQUIRE(eventually([&] { return std::filesystem::exists(log) && std::filesystem::exists(access); }));
    // The first of these may still come before the old files have been let go.
    CHECK(daemon.talk("two") == "two\n");
    CHECK(daemon.talk("three") == "three\n");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(records_in(access).back()["session"] == 4);
    CHECK(contents_of(log).find("session=4 ") != std::string::npos);
    CHECK(contents_of(log + ".1").find("session=2 ") != std::string::npos);
    CHECK((contents_of(log + ".1") + contents_of(log)).find("access rule") == std::string::npos);
}

TEST_CASE("SIGHUP opens the files again whatever the configuration holds")
{
    const TemporaryDirectory directory;
    const auto log = directory.path("log"), access = directory.path("access"), socket = directory.path("s");
    const auto file = directory.file("c.json", R"({"log": ")" + log + R"(", "access-log": ")" + access +
                                                   R"(", "services": {"web": {"mode": "exec", "listen": "unix:)" +
                                                   socket + R"(", "command": ["/bin/cat"]}}})");
    Child daemon(instancerd({"run", "--config", file}));
    // By then it obeys signals as well.
    REQUIRE(eventually([&] { return talk(RawClient(socket), "x") == "x\n"; }));
    directory.file("c.json", "{");
    std::filesystem::rename(log, log + ".1");
    std::filesystem::rename(access, access + ".1");
    daemon.signal(SIGHUP);
    CHECK(eventually([&] { return contents_of(log).find("warning " + file + ":1: ") != std::string::npos; }));
    CHECK(eventually([&] { return std::filesystem::exists(access); }));
    CHECK(talk(RawClient(socket), "x") == "x\n");
}

TEST_CASE("a recording whose file was moved away goes on in a file of its name after SIGUSR2")
{
    const TemporaryDirectory directory, records;
    Daemon daemon(exec({"--record", records.path()}, cat));
    RawClient client(daemon.port());
    client.send("before");
    CHECK(client.receive(6) == "before");
    const auto path = std::filesystem::directory_iterator(records.path())->path().string();
    const auto moved = directory.path("moved.pcap");
    CHECK(eventually([&] { return contents_of(path).find("before") != std::string::npos; }));
    std::filesystem::rename(path, moved);
    daemon.signal(SIGUSR2);
    CHECK(eventually([&] { return std::filesystem::exists(path); }));
    client.send("after");
    CHECK(client.receive(5) == "after");
    client.half_close();
    CHECK(client.receive_all() == "");
    CHECK(daemon.terminate() == 0);
    CHECK(contents_of(moved).find("after") == std::string::npos);
    const auto packets = read_pcap(contents_of(path));
    REQUIRE(packets.size() >= 2);
    CHECK(packets.front().data == "after");
}
