// SPDX-License-Identifier: MIT
// Where the build has put what the tests run. Compiled in one place, so that all else is the same in every directory.
#pragma once

#include <string>

namespace test_paths {

extern const std::string instancerd;
extern const std::string hand_over;
extern const std::string example_filter;
extern const std::string sources;

}  // namespace test_paths
