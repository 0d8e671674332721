// SPDX-License-Identifier: MIT
// What the Docker tests share: the engine's API as a test needs it, images made from local files, and a backend that
// is driven directly.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/backend/docker_backend.hpp>

namespace docker_test {

using namespace std::chrono_literals;
using instancer::Errc;
using instancer::Result;
using nlohmann::json;

inline std::string default_engine()
{
    const char* host = std::getenv("DOCKER_HOST");
    return host ? host : "unix:///var/run/docker.sock";
}

/// The Engine API, blocking and without comfort.
class Engine {
public:
    explicit Engine(std::string address = default_engine()) : path_(address.substr(std::strlen("unix://"))) {}

    json call(const std::string& method, const std::string& target, const std::string& body = {},
              const std::string& type = "application/json")
    {
        asio::io_context context;
        asio::local::stream_protocol::socket socket(context);
        socket.connect(path_);
        // HTTP 1.0, so that the answer is not in chunks and ends with the connection.
        const auto request = method + " " + target + " HTTP/1.0\r\nHost: localhost\r\nContent-Type: " + type +
                             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
        asio::write(socket, asio::buffer(request));
        std::string answer;
        asio::error_code end;
        asio::read(socket, asio::dynamic_buffer(answer), end);
        status_ = std::atoi(answer.substr(answer.find(' ')).c_str());
        const auto content = answer.find("\r\n\r\n") + 4;
        return json::parse(answer.substr(content), nullptr, false);
    }

    /// Of the last call.
    int status() const noexcept { return status_; }

    bool answers()
    {
        try {
            call("GET", "/version");
            return status_ == 200;
        } catch (const std::system_error&) {
            return false;
        }
    }

    json inspect(const std::string& name) { return call("GET", "/containers/" + name + "/json"); }

    /// All containers with this label, running or not.
    json labelled(const std::string& label)
    {
        return call("GET", "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22" + label + "%22%5D%7D");
    }

private:
    std::string path_;
    int status_ = 0;
};

/// A tar archive (POSIX ustar) in memory.
class Tar {
public:
    void file(const std::string& name, const std::string& content) { entry(name, '0', {}, content); }
    void link(const std::string& name, const std::string& target) { entry(name, '2', target, {}); }
    void folder(const std::string& name) { entry(name, '5', {}, {}); }

    std::string finish() const { return bytes_ + std::string(1024, '\0'); }

private:
    void entry(const std::string& name, char kind, const std::string& target, const std::string& content)
    {
        std::string header(512, '\0');
        const auto put = [&](std::size_t at, const std::string& text) {
            std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
        };
        const auto octal = [](std::size_t value) {
            char text[12];
            std::snprintf(text, sizeof text, "%011zo", value);
            return std::string(text);
        };
        put(0, name);
        put(100, "0000755");
        put(108, "0000000");
        put(116, "0000000");
        put(124, octal(content.size()));
        put(136, octal(0));
        put(148, "        ");
        header[156] = kind;
        put(157, target);
        put(257, std::string("ustar\0"
                             "00",
                             8));
        unsigned sum = 0;
        for (const char c : header)
            sum += static_cast<unsigned char>(c);
        put(148, octal(sum).substr(5) + std::string("\0 ", 2));
        bytes_ += header + content + std::string((512 - content.size() % 512) % 512, '\0');
    }

    std::string bytes_;
};

/// Makes an image of busybox; `changes` are Dockerfile lines.
inline void make_image(const std::string& name, const std::vector<std::string>& changes = {},
                       const std::string& engine = default_engine())
{
    std::ifstream file("/bin/busybox", std::ios::binary);
    REQUIRE_MESSAGE(file, "the tests need /bin/busybox, statically linked (busybox-static)");
    const std::string busybox{std::istreambuf_iterator<char>(file), {}};
    Tar tar;
    for (const auto* folder : {"bin/", "tmp/", "data/", "proc/", "sys/", "dev/"})
        tar.folder(folder);
    tar.file("bin/busybox", busybox);
    for (const auto* applet :
         {"sh",   "nc", "cat", "head", "tail", "grep", "id",  "dd",  "sleep",  "touch", "sha256sum",
          "stty", "ls", "wc",  "tr",   "stat", "rm",   "yes", "env", "printf", "ip"})
        tar.link("bin/" + std::string(applet), "busybox");
    const auto encoded = [](const std::string& text) {
        std::string out;
        for (const char c : text) {
            char digits[4];
            std::snprintf(digits, sizeof digits, "%%%02X", static_cast<unsigned char>(c));
            out += digits;
        }
        return out;
    };
    auto target = "/images/create?fromSrc=-&repo=" + name + "&tag=latest";
    for (const auto& change : changes)
        target += "&changes=" + encoded(change);
    Engine api(engine);
    api.call("POST", target, tar.finish(), "application/x-tar");
    REQUIRE(api.status() == 200);
}

/// A shell for everybody who connects to port 9000: how the tests look around inside an instance.
inline const std::string shell_image = "instancer-test-shell";
inline const std::vector<std::string> shell_changes = {R"(CMD ["nc","-ll","-p","9000","-e","sh"])", "EXPOSE 9000",
                                                       "VOLUME /data"};

inline void need_shell_image()
{
    static const bool made = (make_image(shell_image, shell_changes), true);
    (void)made;
}

/// Removes what is left of a daemon that cannot do it.
inline void remove_containers(const std::string& daemon)
{
    Engine().call("DELETE", "/containers/" + daemon + ".claim?force=1&v=1");
    for (const auto& container : Engine().labelled("instancer.daemon%3D" + daemon))
        Engine().call("DELETE", "/containers/" + container["Id"].get<std::string>() + "?force=1&v=1");
}

/// Remembers what is reported.
class Recorder final : public instancer::Events {
public:
    void output(std::string_view, std::string_view, std::string_view line) override { add("output", line); }
    void warning(std::string_view, std::string_view text) override { add("warning", text); }
    void notice(std::string_view, std::string_view text) override { add("notice", text); }

    std::vector<std::string> all(const std::string& kind) const
    {
        const std::lock_guard lock(mutex_);
        const auto found = events_.find(kind);
        return found == events_.end() ? std::vector<std::string>() : found->second;
    }

private:
    void add(const std::string& kind, std::string_view text)
    {
        const std::lock_guard lock(mutex_);
        events_[kind].emplace_back(text);
    }

    mutable std::mutex mutex_;
    std::map<std::string, std::vector<std::string>> events_;
};

/// A backend, the thread that it lives on, and what the pool would do with it.
class Bench {
public:
    static constexpr auto patience = 30s;

    explicit Bench(const instancer::DockerOptions& options, std::string service = "svc")
        : service_(std::move(service)),
          daemon_(options.daemon),
          engine_(options.engine),
          backend_(std::make_unique<instancer::DockerBackend>(io_.get_executor(), service_, options, events))
    {
    }

    ~Bench()
    {
        for (auto& instance : started_)
            (void)await(backend_->stop(instance));
    }

    /// Options that name no other test's daemon.
    static instancer::DockerOptions options()
    {
        need_shell_image();
        static int count = 0;
        instancer::DockerOptions out;
        out.engine = default_engine();
        out.daemon = "test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
        out.image = shell_image;
        return out;
    }

    instancer::DockerBackend& backend() { return *backend_; }

    template <class T>
    T await(asio::awaitable<T> operation)
    {
        std::optional<T> out;
        std::exception_ptr error;
        asio::co_spawn(io_, std::move(operation), [&](std::exception_ptr thrown, T value) {
            error = thrown;
            out.emplace(std::move(value));
        });
        until([&] { return out.has_value(); });
        if (error)
            std::rethrow_exception(error);
        return std::move(*out);
    }

    /// Does not wait; the outcome appears in `out`.
    template <class T>
    void spawn(asio::awaitable<T> operation, std::optional<T>& out)
    {
        asio::co_spawn(io_, std::move(operation), [&out](std::exception_ptr thrown, T value) {
            REQUIRE(!thrown);
            out.emplace(std::move(value));
        });
    }

    /// Lets everything run until `condition` holds.
    void until(const std::function<bool()>& condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (!condition()) {
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "this takes too long");
            io_.restart();
            io_.run_one_for(20ms);
        }
    }

    static instancer::Identity identity(const std::string& owner, const std::string& id = "")
    {
        return instancer::Identity("svc", owner, id);
    }

    Result<instancer::Instance> try_start(instancer::InstanceRequest request)
    {
        auto instance = await(backend_->start(std::move(request)));
        if (instance)
            started_.push_back(*instance);
        return instance;
    }

    instancer::Instance start(const std::string& owner = "someone")
    {
        const asio::ip::tcp::endpoint peer(asio::ip::make_address("192.0.2.7"), 4711);
        auto instance = try_start({service_, identity(owner), instancer::ClientInfo(peer, {})});
        REQUIRE_MESSAGE(instance, instance.error().message());
        return *instance;
    }

    /// Does not wait; the instance appears in `started` when it has started.
    void begin_start(const instancer::Identity& identity, std::vector<instancer::Instance>& started)
    {
        auto keep = [this, &started](std::exception_ptr, Result<instancer::Instance> instance) {
            REQUIRE_MESSAGE(instance, instance.error().message());
            started_.push_back(*instance);
            started.push_back(*instance);
        };
        asio::co_spawn(io_, backend_->start({service_, identity, {}}), std::move(keep));
    }

    void stop(const instancer::Instance& instance)
    {
        const auto stopped = await(backend_->stop(instance));
        CHECK_MESSAGE(stopped, stopped.error().message());
        forget(instance);
    }

    /// How it ended, and what explains that, as the pool reports it.
    std::string end_of(const instancer::Instance& instance)
    {
        const auto exit = await(backend_->wait(instance));
        return exit.text() + "\n" + await(backend_->diagnose(instance));
    }

    /// Somebody else has stopped it.
    void forget(const instancer::Instance& instance)
    {
        std::erase_if(started_, [&](const auto& other) { return other.name() == instance.name(); });
    }

    /// Forgets the instances as a crash would.
    void crash()
    {
        started_.clear();
        backend_.reset();
    }

    /// Connects as soon as the instance lets us.
    instancer::Stream open(const instancer::Instance& instance)
    {
        auto stream = await(ready(instance));
        REQUIRE_MESSAGE(stream, stream.error().message());
        return std::move(*stream);
    }

    /// Sends `input` and its end, and returns all that comes back.
    std::string talk(instancer::Stream& stream, std::string input) { return await(exchange(stream, std::move(input))); }

    /// Runs a script inside an instance of the shell image.
    std::string inside(const instancer::Instance& instance, const std::string& script)
    {
        auto stream = open(instance);
        return talk(stream, script + "\n");
    }

    /// Whether a script inside can connect to that address.
    bool reaches(const instancer::Instance& instance, const std::string& address, std::uint16_t port)
    {
        const auto answer = inside(instance, "nc -w 1 " + address + " " + std::to_string(port) +
                                                 " </dev/null >/dev/null 2>&1 && echo yes || echo no");
        REQUIRE((answer == "yes\n" || answer == "no\n"));
        return answer == "yes\n";
    }

    /// Reads until `end` has come, or the end of the stream.
    std::string read_until(instancer::Stream& stream, std::string end)
    {
        return await(reading(stream, std::move(end)));
    }

    static asio::awaitable<std::string> exchange(instancer::Stream& stream, std::string input)
    {
        using namespace asio::experimental::awaitable_operators;
        co_return co_await (reading(stream, {}) && send(stream, std::move(input)));
    }

    /// Containers of this test's daemon that exist now.
    std::size_t containers() const { return Engine(engine_).labelled("instancer.daemon%3D" + daemon_).size(); }

    Recorder events;

private:
    asio::awaitable<Result<instancer::Stream>> ready(instancer::Instance instance)
    {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        for (;;) {
            const instancer::OpenRequest request;
            auto stream = co_await backend_->open(instance, request);
            if (stream || stream.error() != Errc::not_ready || std::chrono::steady_clock::now() > deadline)
                co_return stream;
            asio::steady_timer pause(io_, 5ms);
            co_await pause.async_wait(instancer::as_result);
        }
    }

    static asio::awaitable<std::string> reading(instancer::Stream& stream, std::string end)
    {
        std::string out;
        std::vector<std::byte> buffer(64 * 1024);
        while (end.empty() || !out.ends_with(end)) {
            const auto count = co_await stream.read_some(buffer);
            if (!count || *count == 0)
                break;
            out.append(reinterpret_cast<const char*>(buffer.data()), *count);
        }
        co_return out;
    }

    static asio::awaitable<void> send(instancer::Stream& stream, std::string input)
    {
        (void)co_await stream.write_all(input);
        (void)stream.shutdown_send();
    }

    asio::io_context io_{1};
    std::string service_;
    std::string daemon_;
    std::string engine_;
    std::unique_ptr<instancer::DockerBackend> backend_;
    std::vector<instancer::Instance> started_;
};

}  // namespace docker_test
