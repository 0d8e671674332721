// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <nlohmann/json.hpp>

namespace bench {

/// The Engine API as one would use it by hand.
class DockerEngine {
public:
    using Socket = asio::local::stream_protocol::socket;

    DockerEngine();

    nlohmann::json call(const std::string& method, const std::string& target, const std::string& body = {},
                        const std::string& type = "application/json") const;

    /// Makes an image of `program` alone, which is /echo_server there. `changes` are as in a Dockerfile, encoded.
    void make_image(const std::string& image, const std::string& program, const std::string& changes) const;

    /// What creates a container of the image with the same restrictions as instancerd's defaults, so that the engine
    /// has the same work.
    static nlohmann::json container_of(const std::string& image);

    /// The standard streams of a container that has been created.
    Socket attach(asio::io_context& context, const std::string& id) const;

private:
    std::string path_;
};

}  // namespace bench
