// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace daemon_test {

using Words = std::vector<std::string>;

/// `exec --listen 127.0.0.1:0 OPTIONS -- COMMAND`
inline Words exec(const Words& options, const Words& command)
{
    Words words = {"exec", "--listen", "127.0.0.1:0"};
    words.insert(words.end(), options.begin(), options.end());
    words.emplace_back("--");
    words.insert(words.end(), command.begin(), command.end());
    return words;
}

}  // namespace daemon_test
