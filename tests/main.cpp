// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>

#include <doctest/doctest.h>

#include <guards.hpp>

int main(int argc, char** argv)
{
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // so that a pipe shows the progress, and a crash loses no line
    const daemon_test::OutlivingGuards outliving;
    int result = doctest::Context(argc, argv).run();
    for (const auto pid : outliving.find()) {
        std::printf("the cleanup process %d outlives what it cleans up after\n", pid);
        result = 1;
    }
    return result;
}
