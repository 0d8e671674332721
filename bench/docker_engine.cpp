// SPDX-License-Identifier: MIT
#include "docker_engine.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>

namespace bench {

using nlohmann::json;

namespace {

/// A tar archive of one executable file (POSIX.1-1988, ustar).
std::string archive_of(const std::string& program)
{
    std::ifstream file(program, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    char header[512] = {};
    std::memcpy(header, "echo_server", 11);
    std::snprintf(header + 100, 8, "%07o", 0755);
    std::snprintf(header + 108, 8, "%07o", 0);
    std::snprintf(header + 116, 8, "%07o", 0);
    std::snprintf(header + 124, 12, "%011zo", bytes.size());
    std::snprintf(header + 136, 12, "%011o", 0);
    std::memset(header + 148, ' ', 8);
    header[156] = '0';
    std::memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (const char byte : header)
        sum += static_cast<unsigned char>(byte);
    std::snprintf(header + 148, 7, "%06o", sum);
    bytes.resize((bytes.size() + 511) / 512 * 512);
    return std::string(header, sizeof header) + bytes + std::string(1024, '\0');
}

}  // namespace

DockerEngine::DockerEngine()
{
    const char* host = std::getenv("DOCKER_HOST");
    path_ = host != nullptr && std::strncmp(host, "unix://", 7) == 0 ? host + 7 : "/var/run/docker.sock";
}

json DockerEngine::call(const std::string& method, const std::string& target, const std::string& body,
                        const std::string& type) const
{
    asio::io_context context;
    Socket socket(context);
    socket.connect(path_);
    // HTTP 1.0: the answer ends with the connection.
    asio::write(socket, asio::buffer(method + " " + target + " HTTP/1.0\r\nHost: localhost\r\nContent-Type: " + type +
                                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
    std::string answer;
    asio::error_code end;
    asio::read(socket, asio::dynamic_buffer(answer), end);
    const int status = std::atoi(answer.c_str() + answer.find(' ') + 1);
    const auto content = answer.substr(answer.find("\r\n\r\n") + 4);
    if (status >= 300)
        throw std::runtime_error(method + " " + target + ": " + content);
    return json::parse(content, nullptr, false);
}

void DockerEngine::make_image(const std::string& image, const std::string& program, const std::string& changes) const
{
    call("POST", "/images/create?fromSrc=-&repo=" + image + "&tag=latest" + changes, archive_of(program),
         "application/x-tar");
}

json DockerEngine::container_of(const std::string& image)
{
    const json limits = {{"NetworkMode", "none"},
                         {"Init", true},
                         {"ReadonlyRootfs", true},
                         {"CapDrop", {"ALL"}},
                         {"SecurityOpt", {"no-new-privileges"}},
                         {"Memory", 256 << 20},
                         {"MemorySwap", 256 << 20},
                         {"NanoCpus", 1000000000},
                         {"PidsLimit", 64},
                         {"Tmpfs", {{"/tmp", "size=64m"}}}};
    return {{"Image", image}, {"User", "65534"}, {"HostConfig", limits}};
}

DockerEngine::Socket DockerEngine::attach(asio::io_context& context, const std::string& id) const
{
    Socket socket(context);
    socket.connect(path_);
    asio::write(socket, asio::buffer("POST /containers/" + id +
                                     "/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: localhost\r\nConnection: "
                                     "Upgrade\r\nUpgrade: tcp\r\n\r\n"));
    std::string answer;
    asio::read_until(socket, asio::dynamic_buffer(answer), "\r\n\r\n");
    if (answer.find(" 101 ") == answer.npos)
        throw std::runtime_error("attaching to a container: " + answer.substr(0, answer.find('\r')));
    return socket;
}

}  // namespace bench
