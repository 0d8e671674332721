// SPDX-License-Identifier: MIT
// What passes through, in the log and in recordings; and the example of a filter.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <thread>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <daemon.hpp>
#include <listener.hpp>
#include <paths.hpp>
#include <pcap_reader.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;

namespace {

using Words = std::vector<std::string>;

Words cat(const Words& options, const std::string& listen = "127.0.0.1:0")
{
    Words words = {"exec", "--listen", listen};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

/// Sends and ends; what comes back.
std::string exchange(RawClient client, const std::string& text)
{
    client.send(text);
    client.half_close();
    return client.receive_all();
}

std::vector<std::string> files_in(const std::string& directory)
{
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        paths.push_back(entry.path().string());
    std::sort(paths.begin(), paths.end());
    return paths;
}

/// The only recording there, when the session has ended.
std::string recording(const std::string& directory)
{
    const auto paths = files_in(directory);
    REQUIRE(paths.size() == 1);
    return contents_of(paths[0]);
}

Words joined(Words first, const Words& second)
{
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

/// What runs a command that follows with a file system of its own at `path`; nothing where that cannot be had.
Words with_tmpfs(const std::string& options, const std::string& path)
{
    const Words words = {
        "unshare", "-Urm", "/bin/sh", "-c", "mount -t tmpfs -o " + options + " none " + path + " && exec \"$@\"", "sh"};
    if (Child(joined(words, {"/bin/true"})).wait() == 0)
        return words;
    MESSAGE("skipped: no file system can be mounted here");
    return {};
}

std::string noise(std::size_t size)
{
    std::string bytes;
    for (std::uint32_t i = 1; bytes.size() < size; ++i)
        bytes += static_cast<char>(i * 2'654'435'761u >> 24);
    return bytes;
}

}  // namespace

TEST_CASE("traffic: a recording holds exactly what passed, and tcpdump reads it")
{
    const TemporaryDirectory directory;
    const auto up = noise(200'000);
    std::string address;
    {
        Daemon daemon(cat({"--record", directory.path()}));
        address = "127.0.0.1 " + std::to_string(daemon.port());
        CHECK(bool(exchange(RawClient(daemon.port()), up) == up));
        CHECK(daemon.wait_for_line("session ended: completed") != "");
        CHECK(daemon.terminate() == 0);
    }
    const Conversation read(recording(directory.path()));
    CHECK(read.server == address);
    CHECK(bool(read.from_client_bytes == up));
    CHECK(bool(read.from_server_bytes == up));
    CHECK(read.count("> FA") == 1);
    CHECK(read.count("< FA") == 1);
    CHECK(read.count("< RA") == 0);
    CHECK(read.flags.back() == "< A");

    const auto path = files_in(directory.path()).at(0);
    CHECK(path.find("/exec-20") != std::string::npos);
    CHECK(path.substr(path.size() - 8) == "Z-1.pcap");
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    Child tcpdump({"tcpdump", "-nn", "-vv", "-r", path});
    CHECK(tcpdump.wait() == 0);
    const auto text = tcpdump.whole_log();
    CHECK(text.find("truncated") == std::string::npos);
    CHECK(text.find("incorrect") == std::string::npos);
    CHECK(text.find("bad") == std::string::npos);
    CHECK(tcpdump.count("Flags [") == read.flags.size());
    CHECK(tcpdump.count("(correct)") == read.flags.size());
    CHECK(tcpdump.count("Flags [S]") == 1);
    CHECK(tcpdump.count("Flags [F.]") == 2);
}

TEST_CASE("traffic: who resets is seen in the recording, also of what is passed on to another server")
{
    const TemporaryDirectory directory;
    const Listener server;
    const linger at_once{1, 0};
    for (const bool by_client : {true, false}) {
        CAPTURE(by_client);
        const auto to = directory.path(by_client ? "client" : "server");
        std::filesystem::create_directory(to);
        Daemon daemon({"forward", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:" + server.port(), "--record", to});
        RawClient client(daemon.port());
        client.send("hello");
        instancer::UniqueFd accepted(::accept4(server.fd(), nullptr, nullptr, SOCK_CLOEXEC));
        char bytes[5];
        REQUIRE(::recv(accepted.get(), bytes, sizeof bytes, MSG_WAITALL) == 5);
        REQUIRE(::send(accepted.get(), "bye", 3, MSG_NOSIGNAL) == 3);
        CHECK(client.receive(3) == "bye");
        if (by_client) {
            client.reset();
        } else {
            ::setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            accepted.reset();
            client.receive_all();
            CHECK(client.ended_by_reset());
        }
        CHECK(daemon.wait_for_line(by_client ? "client reset" : "instance reset") != "");
        CHECK(daemon.terminate() == 0);
        const Conversation read(recording(to));
        CHECK(read.from_client_bytes == "hello");
        CHECK(read.from_server_bytes == "bye");
        CHECK(read.flags.back() == (by_client ? "> RA" : "< RA"));
    }
}

TEST_CASE("traffic: a client over a Unix socket is recorded with a made-up address")
{
    const TemporaryDirectory directory, records;
    const auto path = directory.path("s");
    {
        Daemon daemon(cat({"--record", records.path()}, "unix:" + path));
        CHECK(exchange(RawClient(path), "text") == "text");
        CHECK(daemon.wait_for_line("session ended") != "");
    }
    const Conversation read(recording(records.path()));
    CHECK(read.client == "192.0.2.1 1025");
    CHECK(read.from_server_bytes == "text");
}

TEST_CASE("traffic: a recording ends at its limit, the session goes on, and the log says so once")
{
    const TemporaryDirectory directory;
    {
        Daemon daemon(cat({"--record", directory.path(), "--record-limit", "8k"}));
        const std::string data(100'000, 'x');
        CHECK(bool(exchange(RawClient(daemon.port()), data) == data));
        CHECK(daemon.wait_for_line("session 1 is recorded no further: it has reached --record-limit") != "");
        CHECK(daemon.terminate() == 0);
        CHECK(daemon.count("recorded no further") == 1);
    }
    const auto file = recording(directory.path());
    CHECK(file.size() <= 8192);
    CHECK(Conversation(file).from_client_bytes.size() > 4000);
}

TEST_CASE("traffic: recordings that cannot be written disturb no session, and are told of once")
{
    const TemporaryDirectory directory;
    const auto records = directory.path("records");
    std::filesystem::create_directory(records);
    Daemon daemon(cat({"--record", records}));
    std::filesystem::remove(records);
    for (int i = 0; i < 3; ++i)
        CHECK(exchange(RawClient(daemon.port()), "text") == "text");
    CHECK(daemon.wait_for_line("cannot record to " + records + ": No such file or directory; sessions go on without") !=
          "");
    std::filesystem::create_directory(records);
    CHECK(exchange(RawClient(daemon.port()), "text") == "text");
    CHECK(daemon.wait_for_line("sessions are recorded again") != "");
    CHECK(daemon.count("cannot record") == 1);
    // The recording of an earlier session may begin late enough to find the directory.
    CHECK(files_in(records).size() >= 1);
}

TEST_CASE("traffic: a full disk disturbs no session, and what was recorded before can be read")
{
    const TemporaryDirectory directory;
    const auto mounted = with_tmpfs("size=128k", directory.path());
    if (mounted.empty())
        return;
    Daemon daemon(joined(mounted, instancerd(cat({"--record", directory.path(), "--record-total", "0"}))), {}, -1);
    const std::string data(200'000, 'x');
    for (int i = 0; i < 3; ++i)
        CHECK(bool(exchange(RawClient(daemon.port()), data) == data));
    CHECK(daemon.wait_for_line("No space left on device; sessions go on without") != "");
    CHECK(daemon.wait_for_line("session ended: completed", 3) != "");
    CHECK(daemon.count("cannot record") == 1);
    const auto paths = files_in("/proc/" + std::to_string(daemon.pid()) + "/root" + directory.path());
    REQUIRE_FALSE(paths.empty());
    for (const auto& path : paths)
        CHECK(data.find(Conversation(contents_of(path)).from_client_bytes) == 0);
}

TEST_CASE("traffic: a directory where nothing can be written is refused at once")
{
    const TemporaryDirectory directory;
    const auto mounted = with_tmpfs("ro", directory.path());
    if (mounted.empty())
        return;
    Child daemon(joined(mounted, instancerd(cat({"--record", directory.path()}))));
    CHECK(daemon.wait() == 2);
    CHECK(daemon.whole_log() == "instancerd: --record: no file can be made in " + directory.path() +
                                    ": Read-only file system; choose another directory\n");
}

TEST_CASE("traffic: the log shows text line by line, harmless, and up to its limit")
{
    Daemon daemon(cat({"--traffic-log", "text", "--traffic-log-limit", "30"}));
    CHECK(exchange(RawClient(daemon.port()), "one\r\nt\x1b[31mwo\nthree, which is long\n") ==
          "one\r\nt\x1b[31mwo\nthree, which is long\n");
    CHECK(daemon.wait_for_line("session 1 > one\\r\\n") != "");
    CHECK(daemon.wait_for_line("session 1 > t\\x1b[31mwo\\n") != "");
    CHECK(daemon.wait_for_line("session 1 > three, which is") != "");
    CHECK(daemon.wait_for_line("session 1 < one\\r\\n") != "");
    CHECK(daemon.wait_for_line("session 1 < (more is not shown: --traffic-log-limit is reached)") != "");
    CHECK(daemon.wait_for_line("session ended: completed") != "");
    CHECK(daemon.count("session 1 >") == 4);
    CHECK(daemon.count("is long") == 0);
    CHECK(daemon.count("more is not shown") == 2);
}

TEST_CASE("traffic: the log shows hex with its place in the stream")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    Child daemon(instancerd(cat({"--traffic-log", "hex", "--log-format", "json"}, "unix:" + path)));
    REQUIRE(daemon.wait_for_line("listening on") != "");
    CHECK(exchange(RawClient(path), std::string("0123456789abcdefG\0", 18)).size() == 18);
    CHECK(daemon.wait_for_line("00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef") != "");
    const auto line = daemon.wait_for_line("00000010  47 00                                            G.");
    CHECK(line.find("\"session\":1,\"direction\":\"up\"") != std::string::npos);
}

TEST_CASE("traffic: a token is never shown, what follows it is")
{
    const TemporaryDirectory directory, records;
    const auto tokens = directory.file("tokens.txt", std::string(128, 't'));
    {
        Daemon daemon(
            cat({"--auth", "token", "--tokens", tokens, "--traffic-log", "text", "--record", records.path()}));
        CHECK(exchange(RawClient(daemon.port()), std::string(128, 't') + "idhello") == "hello");
        CHECK(daemon.wait_for_line("session ended") != "");
        CHECK(daemon.wait_for_line("session 1 > hello") != "");
        CHECK(daemon.count("tttt") == 0);
    }
    const auto file = recording(records.path());
    CHECK(file.find("tttt") == std::string::npos);
    CHECK(Conversation(file).from_client_bytes == "hello");
}

TEST_CASE("traffic: a log that nobody reads holds up no session")
{
    // The first lines go through, the rest finds the pipe full.
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    instancer::UniqueFd unread(ends[0]), full(ends[1]);
    const TemporaryDirectory directory;
    const auto path = directory.path("s");
    auto command = instancerd(cat({"--traffic-log", "hex", "--traffic-log-limit", "0"}, "unix:" + path));
    Words words = {"/bin/sh", "-c", "exec \"$@\" 2>&3 3>&-", "sh"};
    words.insert(words.end(), command.begin(), command.end());
    Child daemon(words, {}, full.get());
    REQUIRE(eventually([&] { return RawClient(path).connected(); }));
    const auto data = noise(2'000'000);
    RawClient client(path);
    std::thread sender([&] {
        client.send(data);
        client.half_close();
    });
    CHECK(bool(client.receive_all() == data));
    sender.join();
}

TEST_CASE("the example of a filter changes answers, and ends a session at a word")
{
    Child server({test_paths::example_filter});
    const auto address = server.wait_for_line("127.0.0.1:");
    REQUIRE(address != "");
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    CHECK(exchange(RawClient(port), "hello\n") == "HELLO\nBYE\n");
    RawClient client(port);
    client.send("no\nqu");
    CHECK(client.receive(5) == "NO\nQU");
    client.send("it now\n");
    CHECK(client.receive_all() == "");
    CHECK(client.ended_in_order());
}
