// SPDX-License-Identifier: MIT
// Where it is enough to know that the headers are found: this is quickly compiled.
#include <cstdio>

#include <asio/version.hpp>
#include <tl/expected.hpp>

#include <instancer/version.hpp>

int main() { std::printf("instancer %s\n", INSTANCER_VERSION); }
