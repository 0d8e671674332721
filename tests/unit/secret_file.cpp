// SPDX-License-Identifier: MIT
// Files with secrets, written where somebody else may put things in the way.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/process/secret_file.hpp>

#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::detail;

namespace {

const FileOwner ourselves(::geteuid(), ::getegid());

UniqueFd open_root(const daemon_test::TemporaryDirectory& directory)
{
    return UniqueFd(::open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::string content(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("secret file: it has its permissions, and takes the place of whatever is there")
{
    const daemon_test::TemporaryDirectory directory;
    const auto victim = directory.file("victim", "untouched");
    std::filesystem::create_symlink("victim", directory.path("flag"));
    const auto root = open_root(directory);
    REQUIRE(write_secret_file(root.get(), "flag", "FLAG{1}", 0440, ourselves));
    CHECK(content(directory.path("flag")) == "FLAG{1}\n");
    CHECK(content(victim) == "untouched");
    struct stat status {};
    REQUIRE(::lstat(directory.path("flag").c_str(), &status) == 0);
    CHECK(S_ISREG(status.st_mode));
    CHECK((status.st_mode & 07777) == 0440);
    CHECK(write_secret_file(root.get(), "flag", "FLAG{2}", 0400, ourselves));
    CHECK(content(directory.path("flag")) == "FLAG{2}\n");
}

TEST_CASE("secret file: what cannot be written leaves nothing behind")
{
    const daemon_test::TemporaryDirectory directory;
    std::filesystem::create_directory(directory.path("flag"));
    const auto root = open_root(directory);
    const auto written = write_secret_file(root.get(), "flag", "FLAG{1}", 0400, ourselves);
    REQUIRE_FALSE(written);
    CHECK(written.error().message().find("writing the file flag") == 0);
    CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("secret file: no link leads out of the directory that is the root")
{
    const daemon_test::TemporaryDirectory outside, directory;
    std::filesystem::create_directory(outside.path("in"));
    std::filesystem::create_directory(directory.path("in"));
    std::filesystem::create_symlink(outside.path("in"), directory.path("away"));
    std::filesystem::create_symlink("../../../in", directory.path("up"));
    const auto root = open_root(directory);
    CHECK_FALSE(open_directory_inside(root.get(), "away"));
    const auto up = open_directory_inside(root.get(), "up");
    REQUIRE(up);
    REQUIRE(write_secret_file(up->get(), "flag", "FLAG{1}", 0400, ourselves));
    CHECK(content(directory.path("in/flag")) == "FLAG{1}\n");
}
