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

#include <backend_bench.hpp>

namespace docker_test {

using namespace std::chrono_literals;
using backend_test::Recorder;
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
    void file(const std::string& name, const std::string& content, const std::string& mode = "0000755")
    {
        entry(name, '0', {}, content, mode);
    }
    void link(const std::string& name, const std::string& target) { entry(name, '2', target, {}, "0000755"); }
    void folder(const std::string& name) { entry(name, '5', {}, {}, "0000755"); }

    std::string finish() const { return bytes_ + std::string(1024, '\0'); }

private:
    void entry(const std::string& name, char kind, const std::string& target, const std::string& content,
               const std::string& mode)
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
        put(100, mode);
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

/// Makes an image of busybox; `changes` are Dockerfile lines, and `add` adds files.
inline void make_image(const std::string& name, const std::vector<std::string>& changes = {},
                       const std::string& engine = default_engine(), const std::function<void(Tar&)>& add = {})
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
    if (add)
        add(tar);
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

/// A Docker backend as `backend_test::Bench` drives it.
class Bench : public backend_test::Bench<instancer::DockerBackend> {
public:
    explicit Bench(const instancer::DockerOptions& options, std::string service = "svc")
        : backend_test::Bench<instancer::DockerBackend>(std::move(service), options),
          daemon_(options.daemon),
          engine_(options.engine)
    {
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

    /// Containers of this test's daemon that exist now.
    std::size_t containers() const { return Engine(engine_).labelled("instancer.daemon%3D" + daemon_).size(); }

private:
    std::string daemon_;
    std::string engine_;
};

}  // namespace docker_test
