// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace daemon_test {

/// A directory that goes, with all in it, when this does.
class TemporaryDirectory {
public:
    TemporaryDirectory()
    {
        auto name = (std::filesystem::temp_directory_path() / "instancer-test-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string path(const std::string& name = {}) const { return name.empty() ? path_ : path_ + "/" + name; }

    /// Writes a file and returns its path.
    std::string file(const std::string& name, const std::string& content, bool executable = false) const
    {
        std::ofstream(path(name), std::ios::binary) << content;
        if (executable)
            std::filesystem::permissions(path(name), std::filesystem::perms(0755));
        return path(name);
    }

private:
    std::string path_;
};

}  // namespace daemon_test
