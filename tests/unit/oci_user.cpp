// SPDX-License-Identifier: MIT
// Users of an image, looked up in files that the image's author wrote.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <instancer/backend/oci_user.hpp>

#include "temporary_directory.hpp"

using namespace instancer;
using daemon_test::TemporaryDirectory;

namespace {

using Groups = std::vector<gid_t>;

/// The root directory of an image.
class Root {
public:
    explicit Root(const std::string& users = "root:x:0:0:root:/root:/bin/sh\n"
                                             "ctf:x:1000:1001:a player:/home/ctf:/bin/sh\n",
                  const std::string& groups = "root:x:0:\nplayers:x:1001:\nextra:x:50:root,ctf\n"
                                              "more:x:60:ctf\n")
    {
        std::filesystem::create_directory(directory_.path("etc"));
        directory_.file("etc/passwd", users);
        directory_.file("etc/group", groups);
    }

    std::string path(const std::string& name = {}) const { return directory_.path(name); }

    OciUser find(const std::string& user) const
    {
        auto found = find_oci_user(path(), user);
        REQUIRE_MESSAGE(found, found.error().message());
        return *found;
    }

    std::string refuses(const std::string& user) const
    {
        const auto found = find_oci_user(path(), user);
        REQUIRE_FALSE(found);
        return found.error().message();
    }

private:
    TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("image's user: by name, with the group, the further groups and the home of its files")
{
    const Root root;
    for (const auto* const user : {"ctf", "1000"}) {
        const auto found = root.find(user);
        CHECK(found.uid == 1000);
        CHECK(found.gid == 1001);
        CHECK(found.groups == Groups{50, 60});
        CHECK(found.home == "/home/ctf");
    }
    const auto nobody_said = root.find("");
    CHECK(nobody_said.uid == 0);
    CHECK(nobody_said.home == "/root");
}

TEST_CASE("image's user: a group of its own leaves the further ones out")
{
    const Root root;
    for (const auto* const user : {"ctf:more", "1000:60"}) {
        CHECK(root.find(user).uid == 1000);
        CHECK(root.find(user).gid == 60);
        CHECK(root.find(user).groups.empty());
    }
}

TEST_CASE("image's user: a number needs no line, a name does")
{
    const Root root;
    CHECK(root.find("4711").uid == 4711);
    CHECK(root.find("4711").gid == 0);
    CHECK(root.find("4711").home == "/");
    CHECK(root.find("4711:4712").gid == 4712);
    CHECK(root.refuses("eve") == "the image's /etc/passwd has no user eve; name one by number");
    CHECK(root.refuses("ctf:eve") == "the image's /etc/group has no group eve; name one by number");
    // The system calls take this one for none.
    CHECK(root.refuses("4294967295").find("no user") != std::string::npos);

    const TemporaryDirectory bare;
    CHECK(find_oci_user(bare.path(), "7")->uid == 7);
    CHECK_FALSE(find_oci_user(bare.path(), "ctf"));
}

TEST_CASE("image's user: links in the image do not lead out of it")
{
    const Root root;
    const TemporaryDirectory outside;
    const auto users = outside.file("passwd", "eve:x:666:666::/:/bin/sh\n");
    std::filesystem::remove(root.path("etc/passwd"));
    std::filesystem::create_symlink(users, root.path("etc/passwd"));
    CHECK(root.refuses("eve").find("no user eve") != std::string::npos);
    // As the image sees it.
    std::filesystem::create_directories(root.path(outside.path()));
    std::ofstream(root.path(users)) << "eve:x:667:667::/:/bin/sh\n";
    CHECK(root.find("eve").uid == 667);
}

TEST_CASE("image's user: files that are none, or too large, are refused by name")
{
    SUBCASE("a FIFO, whose opener would wait for ever")
    {
        const Root root;
        std::filesystem::remove(root.path("etc/group"));
        REQUIRE(::mkfifo(root.path("etc/group").c_str(), 0600) == 0);
        CHECK(root.refuses("ctf") == "/etc/group is no regular file");
    }
    SUBCASE("more than a MiB")
    {
        const Root root(std::string((1 << 20) + 1, '\n'));
        CHECK(root.refuses("ctf") == "/etc/passwd has more than 1048576 bytes");
    }
    SUBCASE("lines that are no entries are passed over")
    {
        const Root root(":\nbad:x:nan:0::/:\nshort:x:5\nctf:x:1000:1001:::\n", "::\nextra:x:-1:ctf\n");
        CHECK(root.find("ctf").uid == 1000);
        CHECK(root.find("ctf").groups.empty());
        CHECK(root.find("ctf").home == "/");
    }
}
