// SPDX-License-Identifier: MIT
// What the integration tests of the same name ask of processes, with containers.
#include <docker_support.hpp>
#include <paths.hpp>
#include <transparency.hpp>

using namespace transparency;

namespace {

void check(const std::string& name, Carries carries, const std::vector<std::string>& reached_by,
           const std::vector<std::string>& more)
{
    docker_test::need_shell_image();
    InstanceRoute route(name, carries, [&](const std::string& directory) {
        std::vector<std::string> words = {"docker",
                                          "--listen",
                                          "127.0.0.1:0",
                                          "--name",
                                          "transparency-" + std::to_string(::getpid()),
                                          "--engine",
                                          docker_test::default_engine(),
                                          "--image",
                                          docker_test::shell_image,
                                          "--mount",
                                          directory + ":/control",
                                          "--mount",
                                          test_paths::hand_over + ":/hand_over"};
        words.insert(words.end(), reached_by.begin(), reached_by.end());
        words.insert(words.end(), {"--", "/hand_over", "/control/control"});
        words.insert(words.end(), more.begin(), more.end());
        return words;
    });
    check_every_event(route);
    check_random_conversations(route, 3);
}

}  // namespace

TEST_CASE("transparency: a container on a port")
{
    check("docker --port", Carries(), {"--port", "9000"}, {"127.0.0.1", "9000"});
}

TEST_CASE("transparency: a container on its standard streams")
{
    Carries carries;
    carries.resets = carries.urgent = carries.urgent_in_place = false;
    carries.server_half_close = carries.unread_resets = false;
    // The pipe that the test took out of the container stays open for as long as the engine likes: Docker 26 keeps it
    // after the container. That the container ends then is tested elsewhere.
    carries.refusals = false;
    check("docker --stdio", carries, {"--stdio"}, {});
}
