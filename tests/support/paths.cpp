// SPDX-License-Identifier: MIT
#include <paths.hpp>

namespace test_paths {

const std::string instancerd = INSTANCERD_PATH;
const std::string hand_over = HAND_OVER_PATH;
const std::string example_filter = EXAMPLE_FILTER_PATH;
const std::string sources = INSTANCER_SOURCE_DIR;

}  // namespace test_paths
