// SPDX-License-Identifier: MIT
#include "docker_diagnosis.hpp"

#include "docker_json.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

std::string describe_exit(const Container& container)
{
    if (!container.exit_code)
        return "container removed";
    auto text = "exit code " + std::to_string(*container.exit_code);
    if (*container.exit_code > 128 && *container.exit_code < 128 + 65)
        text += " (signal " + std::to_string(*container.exit_code - 128) + ")";
    return text;
}

std::string start_remedy(std::string_view output)
{
    if (output.find("ermission denied") != output.npos || output.find("not permitted") != output.npos)
        return "\nit does not run as root and has no capabilities: prepare the image for that, or set another --user";
    if (output.find("ead-only file system") != output.npos)
        return "\nits root file system is read-only: it may write to /tmp, and to what --tmpfs names";
    return {};
}

asio::awaitable<std::string> ContainerDiagnosis::explain(Container& container)
{
    if (container.exit_code == 0 && container.opened)
        co_return std::string();
    std::string text;
    if (container.exit_code) {
        const auto reply = co_await calls_.inspect(container.id);
        if (reply && reply->ok() && value_at(object_at(reply->json(), "State"), "OOMKilled", false))
            text = "\nout of memory";
    }
    const auto said = co_await output(container);
    co_return text + said + start_remedy(said);
}

asio::awaitable<std::string> ContainerDiagnosis::explain_exit(Container& container)
{
    const auto explained = co_await explain(container);
    co_return describe_exit(container) + explained;
}

/// The last output and the exposed ports, each line after a newline.
asio::awaitable<std::string> ContainerDiagnosis::output(const Container& container)
{
    const bool has_port = io_ == DockerIo::port;
    auto lines = container.last_lines();
    if (has_port) {
        const auto path = DockerCalls::path_of(container.id) +
                          "/logs?stdout=1&stderr=1&tail=" + std::to_string(Container::most_lines);
        const auto reply = co_await calls_.call("GET", path);
        if (reply && reply->ok())
            lines = unframed(reply->body());
    }
    while (!lines.empty() && lines.back() == '\n')
        lines.pop_back();
    std::string text = lines.empty() ? "\nno output" : "\nlast output:\n" + lines;
    if (has_port)
        text += "\n" + container.prepared->image.describe_ports() + "; clients are connected to port " +
                std::to_string(container.port);
    co_return text;
}

}  // namespace instancer::detail::inline docker
