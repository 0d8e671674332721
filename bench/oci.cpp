// SPDX-License-Identifier: MIT
// Containers without an engine, an echo server on their standard streams: against a runtime that is called by hand with
// the same configuration, bubblewrap, which sets neither limits nor a filter of system calls, and Docker by hand.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

#include "docker_engine.hpp"
#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

extern char** environ;

namespace bench {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int threads_at_once = 4;

/// A container that has echoed a byte. It ends with this, and is awaited where that can be done.
class Container {
public:
    virtual ~Container() = default;
    virtual void begin_to_end() {}
};

/// One way to start containers.
class Way {
public:
    explicit Way(std::string called) : name(std::move(called)) {}
    virtual ~Way() = default;

    /// Returns once it has echoed a byte.
    virtual std::unique_ptr<Container> start() = 0;

    /// Whether a process belongs to all that it runs, with those below it.
    virtual bool owns(pid_t pid) const = 0;

    const std::string name;
};

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error("no answer from " + what); }

class Ours final : public Way {
public:
    Ours(std::uint16_t port, const std::string& files, const std::string& runtime)
        : Way("instancerd oci"),
          subject_(name, port,
                   {INSTANCERD_PATH,
                    "oci",
                    "--listen",
                    "127.0.0.1:" + std::to_string(port),
                    "--name",
                    "bench-" + std::to_string(::getpid()),
                    "--rootfs",
                    files,
                    "--runtime",
                    runtime,
                    "--stdio",
                    "--log-level",
                    "warning",
                    "--stop-grace",
                    "0",
                    "--max-instances",
                    "1000",
                    "--",
                    "/echo_server",
                    "-"})
    {
    }

    std::unique_ptr<Container> start() override
    {
        auto client = std::make_unique<Client>();
        if (!client->connection.open(subject_.port()) || !client->connection.send("x") ||
            !client->connection.receive_byte())
            give_up(name);
        return client;
    }

    bool owns(pid_t pid) const override { return pid == subject_.pid(); }

private:
    class Client final : public Container {
    public:
        void begin_to_end() override { connection.close(); }
        Connection connection;
    };

    Subject subject_;
};

/// A child whose standard input and output are a socket of ours.
class Child final : public Container {
public:
    explicit Child(const std::vector<std::string>& command)
    {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            throw std::runtime_error("cannot make a socket pair");
        stream_.reset(ends[0]);
        const instancer::UniqueFd theirs(ends[1]);
        std::vector<char*> arguments;
        for (const auto& argument : command)
            arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 0);
        ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 1);
        const int error = ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (error != 0)
            throw std::runtime_error("cannot start " + command.front() + ": " + std::strerror(error));
    }
    Child(const Child&) = delete;
    ~Child() override
    {
        stream_.reset();
        ::waitpid(pid_, nullptr, 0);
    }

    bool echoes() const
    {
        char byte = 'x';
        return ::send(stream_.get(), &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(stream_.get(), &byte, 1, 0) == 1;
    }

    void begin_to_end() override { stream_.reset(); }

private:
    instancer::UniqueFd stream_;
    pid_t pid_ = -1;
};

/// A program that is called for each container.
class ByHand final : public Way {
public:
    using Command = std::function<std::vector<std::string>(int)>;

    ByHand(std::string called, Command command) : Way(std::move(called)), command_(std::move(command)) {}

    std::unique_ptr<Container> start() override
    {
        auto child = std::make_unique<Child>(command_(++count_));
        if (!child->echoes())
            give_up(name);
        return child;
    }

    bool owns(pid_t pid) const override { return pid == ::getpid(); }

private:
    const Command command_;
    std::atomic<int> count_{0};
};

class Docker final : public Way {
public:
    Docker() : Way("Docker by hand")
    {
        engine_.make_image(image, ECHO_SERVER_PATH, "&changes=CMD%20%5B%22%2Fecho_server%22%2C%22-%22%5D");
    }
    ~Docker() override { engine_.call("DELETE", std::string("/images/") + image + "?force=true"); }

    std::unique_ptr<Container> start() override { return std::make_unique<Attached>(engine_); }

    bool owns(pid_t pid) const override
    {
        std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
        std::string command;
        return file >> command && command.starts_with("containerd-shim");
    }

private:
    static constexpr const char* image = "instancer-bench-stdio";

    class Attached final : public Container {
    public:
        explicit Attached(const DockerEngine& engine) : engine_(engine), stream_(context_)
        {
            auto body = DockerEngine::container_of(image);
            body["OpenStdin"] = body["StdinOnce"] = body["AttachStdin"] = body["AttachStdout"] = true;
            id_ = engine.call("POST", "/containers/create", body.dump()).at("Id");
            stream_ = engine.attach(context_, id_);
            engine.call("POST", "/containers/" + id_ + "/start");
            asio::write(stream_, asio::buffer("x", 1));
            char frame[9];  // Eight bytes before what was written.
            asio::read(stream_, asio::buffer(frame));
        }
        ~Attached() override
        {
            try {
                engine_.call("DELETE", "/containers/" + id_ + "?force=true");
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
            }
        }

    private:
        const DockerEngine& engine_;
        asio::io_context context_;
        DockerEngine::Socket stream_;
        std::string id_;
    };

    const DockerEngine engine_;
};

/// The files of a container: the echo server.
std::string make_files()
{
    const fs::path files = fs::path(temporary_file("files-of-containers", "")).parent_path() / "files";
    for (const auto* name : {"proc", "sys", "dev", "tmp"})
        fs::create_directories(files / name);
    fs::copy_file(ECHO_SERVER_PATH, files / "echo_server");
    return files;
}

/// The directory with the configuration that instancerd gives to crun, without what needs its help.
std::string make_bundle(const std::string& files)
{
    const auto bundle = fs::path(files).parent_path() / "bundle";
    fs::create_directory(bundle);
    const auto seen = bundle / "seen.json";
    // The end of instancerd may cut it off while it writes.
    const auto recorder = temporary_file(
        "recorder",
        "#!/bin/sh\nseen=" + seen.string() +
            "\nfor word; do [ \"$word\" != run ] || { cat /proc/self/fd/4 >$seen.$$ && mv $seen.$$ $seen; }; "
            "done\nexec " +
            find_program("crun") + " \"$@\"\n");
    fs::permissions(recorder, fs::perms(0755));
    {
        // It tries a container out when it starts.
        const Ours tried(fresh_port(), files, recorder);
    }
    std::ifstream file(seen);
    if (!file)
        throw std::runtime_error("instancerd has started no container: another one may have its port");
    auto spec = json::parse(file);
    auto& process = spec["process"];
    const auto init = process["args"][0];
    process["args"] = {"/echo_server", "-"};
    auto& mounts = spec["mounts"].get_ref<json::array_t&>();
    std::erase_if(mounts, [&](const json& mount) { return mount["destination"] == init; });
    spec["root"]["path"] = files;
    std::ofstream(bundle / "config.json") << spec.dump();
    return bundle;
}

ByHand::Command crun(const std::string& bundle)
{
    return [bundle, program = find_program("crun"), state = bundle + "/state"](int number) {
        return std::vector<std::string>{program, "--root",   state,  "--cgroup-manager=disabled",
                                        "run",   "--bundle", bundle, "bench-" + std::to_string(number)};
    };
}

ByHand::Command bwrap(const std::string& files)
{
    return [files, program = find_program("bwrap")](int) {
        return std::vector<std::string>{program,
                                        "--unshare-all",
                                        "--die-with-parent",
                                        "--cap-drop",
                                        "ALL",
                                        "--ro-bind",
                                        files,
                                        "/",
                                        "--proc",
                                        "/proc",
                                        "--dev",
                                        "/dev",
                                        "--tmpfs",
                                        "/tmp",
                                        "/echo_server",
                                        "-"};
    };
}

/// Calls `work` on threads whose children see no mixture of control groups, with which crun does not work.
void in_threads(int count, const std::function<void()>& work)
{
    std::vector<std::thread> threads;
    std::atomic<bool> failed{false};
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&] {
            try {
                if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
                    throw std::runtime_error("needs root");
                ::umount2("/sys/fs/cgroup/unified", MNT_DETACH);
                work();
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
                failed = true;
            }
        });
    for (auto& thread : threads)
        thread.join();
    if (failed)
        throw std::runtime_error("containers could not be started");
}

/// Each process that there is, with its parent.
std::map<pid_t, pid_t> all_processes()
{
    std::map<pid_t, pid_t> parents;
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const auto name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != name.npos)
            continue;
        std::ifstream file(entry.path() / "stat");
        std::string text;
        std::getline(file, text);
        // A process that has ended is there until its parent asks for it.
        if (const auto end = text.rfind(") "); end != text.npos && text.compare(end + 2, 1, "Z") != 0)
            parents[std::atoi(text.c_str())] = std::atoi(text.c_str() + end + 4);
    }
    return parents;
}

/// The processes that the way has started and that have not ended.
std::vector<pid_t> processes_of(const Way& way)
{
    const auto parents = all_processes();
    std::vector<pid_t> found;
    for (const auto& [process, parent] : parents) {
        auto at = process;
        while (at > 1 && !way.owns(at))
            at = parents.contains(at) ? parents.at(at) : 0;
        if (at > 1)
            found.push_back(process);
    }
    return found;
}

/// Of all of them together; shared memory counts in parts.
double kilobytes_of(const Way& way)
{
    double sum = 0;
    for (const auto pid : processes_of(way)) {
        std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
        std::string word;
        while (file >> word && word != "Pss:") {}
        if (double value = 0; file >> value)
            sum += value;
    }
    return sum;
}

/// What the kernel holds for all that runs, but for what it would give back.
double kernel_kilobytes()
{
    double sum = 0;
    std::ifstream file("/proc/meminfo");
    std::string name, unit;
    for (double value = 0; file >> name >> value; std::getline(file, unit))
        if (name == "SUnreclaim:" || name == "KernelStack:" || name == "PageTables:" || name == "Percpu:")
            sum += value;
    return sum;
}

/// Until there are as many processes as before.
void await_end(const Way& way, std::size_t processes)
{
    for (int attempt = 0; processes_of(way).size() > processes && attempt < 6000; ++attempt)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

double milliseconds_since(Clock::time_point begin)
{
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void measure_first_byte(Way& way, Table& table)
{
    in_threads(1, [&] {
        const auto before = processes_of(way).size();
        const auto begin = Clock::now();
        const auto container = way.start();
        table.add(way.name, milliseconds_since(begin));
        container->begin_to_end();
        await_end(way, before);
    });
}

void measure_rate(Way& way, int count, Table& table)
{
    const auto before = processes_of(way).size();
    const auto begin = Clock::now();
    std::atomic<int> left{count};
    in_threads(threads_at_once, [&] {
        while (left-- > 0)
            way.start();
    });
    await_end(way, before);
    table.add(way.name, count * 1000 / milliseconds_since(begin));
}

/// From the connect to a byte of what runs already.
void measure_warm(const Subject& subject, Table& table)
{
    const auto begin = Clock::now();
    Connection connection;
    if (!connection.open(subject.port()) || !connection.send("x") || !connection.receive_byte())
        give_up(subject.name());
    table.add(subject.name(), milliseconds_since(begin) * 1000);
    connection.close();
}

/// A container that its client returns to, against a connection that is passed on.
Outcome measure_warm(const std::string& files, int rounds)
{
    const auto port = fresh_port(), server = fresh_port(), forwarded = fresh_port();
    const std::string host = "127.0.0.1:";
    const Subject echo("echo server", server, {ECHO_SERVER_PATH, std::to_string(server)});
    const Subject forward("instancerd forward", forwarded,
                          {INSTANCERD_PATH, "forward", "--listen", host + std::to_string(forwarded), "--to",
                           host + std::to_string(server), "--log-level", "warning"});
    const Subject ours("instancerd oci", port,
                       {INSTANCERD_PATH, "oci", "--listen", host + std::to_string(port), "--name",
                        "bench-warm-" + std::to_string(::getpid()), "--rootfs", files, "--port", "9000", "--auth",
                        "source", "--log-level", "warning", "--", "/echo_server", "9000"});
    Table table("Containers: connect to first byte of one that runs", "us", false);
    for (int sample = 0; sample < 40 * rounds; ++sample)
        for (const auto* subject : {&forward, &ours})
            measure_warm(*subject, table);
    return {std::move(table), forward.name()};
}

/// As many as `count` live at once, and then end at once.
void measure_many(Way& way, int count, Table& starts, Table& memory, Table& kernel, Table& ends)
{
    const auto label = way.name + ", " + std::to_string(count);
    const auto processes = processes_of(way).size();
    const auto empty = kilobytes_of(way), kernel_before = kernel_kilobytes();
    std::vector<std::unique_ptr<Container>> all(static_cast<std::size_t>(count));
    auto begin = Clock::now();
    std::atomic<std::size_t> next{0};
    in_threads(threads_at_once, [&] {
        for (std::size_t i; (i = next++) < all.size();)
            all[i] = way.start();
    });
    starts.add(label, milliseconds_since(begin) / count);
    memory.add(label, (kilobytes_of(way) - empty) / count);
    kernel.add(label, (kernel_kilobytes() - kernel_before) / count);
    begin = Clock::now();
    for (const auto& container : all)
        container->begin_to_end();
    next = 0;
    in_threads(threads_at_once, [&] {
        for (std::size_t i; (i = next++) < all.size();)
            all[i].reset();
    });
    await_end(way, processes);
    ends.add(label, milliseconds_since(begin) / count);
}

constexpr const char* baseline = "bare crun";

/// With how many containers a way is measured: an engine takes its time.
class Measured {
public:
    Measured(std::unique_ptr<Way> one, int first_byte_counts, int rate_counts, int many_counts)
        : way(std::move(one)), first_bytes(first_byte_counts), rates(rate_counts), many(many_counts)
    {
    }

    std::unique_ptr<Way> way;
    int first_bytes, rates, many;
};

std::vector<Measured> make_ways(const std::string& files)
{
    if (find_program("crun").empty())
        throw std::runtime_error("needs crun (apt install crun)");
    std::vector<Measured> ways;
    ways.emplace_back(std::make_unique<ByHand>(baseline, crun(make_bundle(files))), 40, 40, 1000);
    ways.emplace_back(std::make_unique<Ours>(fresh_port(), files, "crun"), 40, 40, 1000);
    if (!find_program("bwrap").empty())
        ways.emplace_back(std::make_unique<ByHand>("bwrap", bwrap(files)), 40, 40, 1000);
    try {
        ways.emplace_back(std::make_unique<Docker>(), 4, 8, 200);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "without Docker: %s\n", error.what());
    }
    return ways;
}

}  // namespace

std::vector<Outcome> oci(int rounds)
{
    Table first_byte("Containers: first byte over standard streams", "ms", false);
    Table rate("Containers started, asked for a byte and ended, 4 at once", "1/s", true);
    Table starts("Many containers: to start one, 4 at once", "ms", false);
    Table memory("Many containers: memory of the processes of one", "kB", false);
    Table kernel("Many containers: memory of the kernel for one", "kB", false);
    Table ends("Many containers: to end one, all at once", "ms", false);
    const auto files = make_files();
    const auto ways = make_ways(files);
    for (int round = 0; round < rounds; ++round) {
        for (int sample = 0; sample < 40; ++sample)
            for (const auto& measured : ways)
                if (sample < measured.first_bytes)
                    measure_first_byte(*measured.way, first_byte);
        for (const auto& measured : ways)
            measure_rate(*measured.way, measured.rates, rate);
    }
    for (const auto& measured : ways)
        measure_many(*measured.way, measured.many, starts, memory, kernel, ends);
    const auto many = std::string(baseline) + ", 1000";
    return {measure_warm(files, rounds), {std::move(first_byte), baseline}, {std::move(rate), baseline},
            {std::move(starts), many},   {std::move(memory), many},         {std::move(kernel), many},
            {std::move(ends), many}};
}

}  // namespace bench
