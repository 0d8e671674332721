// SPDX-License-Identifier: MIT
// Layers of an image, put on top of each other as Docker does it.
#include "oci_fixture.hpp"

#include <clocale>

#include <sys/xattr.h>
#include <unistd.h>

using namespace oci_test;

namespace {

using Names = std::vector<std::string>;

std::string attribute(const fs::path& path, const char* name)
{
    char value[64];
    const auto size = ::lgetxattr(path.c_str(), name, value, sizeof value);
    return size < 0 ? "none" : std::string(value, static_cast<std::size_t>(size));
}

/// A file's capabilities as the kernel keeps them: version 2, effective, CAP_NET_RAW.
const std::string net_raw("\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);

}  // namespace

TEST_CASE("image layers: modes, links, FIFOs and times are as packed")
{
    Store store;
    Traits program;
    program.mode = 0751;
    Tar layer;
    layer.directory("./", 0711).directory("./bin/", 0755).file("./bin/tool", "run\n", program);
    layer.symbolic_link("bin/sh", "/bin/tool")
        .symbolic_link("bin/up", "../bin/tool")
        .hard_link("bin/same", "bin/tool", program);
    layer.node("pipe", AE_IFIFO).file("empty", "");
    const auto root = store.unpack(Image().layer(layer.finish()));
    CHECK((status_of(root).st_mode & 07777) == 0711);
    CHECK((status_of(root / "bin/tool").st_mode & 07777) == 0751);
    CHECK(status_of(root / "bin/tool").st_mtime == 1'600'000'000);
    CHECK(status_of(root / "bin").st_mtime == 1'600'000'000);
    CHECK(fs::read_symlink(root / "bin/sh") == "/bin/tool");
    CHECK(fs::read_symlink(root / "bin/up") == "../bin/tool");
    CHECK(status_of(root / "bin/same").st_ino == status_of(root / "bin/tool").st_ino);
    CHECK(S_ISFIFO(status_of(root / "pipe").st_mode));
    CHECK(fs::file_size(root / "empty") == 0);
}

TEST_CASE("image layers: owners, setuid bits and capabilities; needs root" * doctest::skip(::geteuid() != 0))
{
    Store store;
    Traits reader, ping;
    reader.mode = 04755;
    reader.gid = 7;
    ping.attribute = "security.capability";
    ping.value = net_raw;
    Traits foreign;
    foreign.attribute = "trusted.overlay.opaque";
    foreign.value = "y";
    Tar layer;
    layer.file("reader", "x", reader).file("ping", "x", ping).file("foreign", "x", foreign);
    layer.hard_link("ping6", "ping", ping).directory("home/", 02770, 1234).symbolic_link("home/link", "x");
    const auto root = store.unpack(Image().layer(layer.finish()));
    CHECK((status_of(root / "reader").st_mode & 07777) == 04755);
    CHECK(status_of(root / "reader").st_gid == 7);
    CHECK((status_of(root / "home").st_mode & 07777) == 02770);
    CHECK(status_of(root / "home").st_uid == 1234);
    CHECK(attribute(root / "ping", "security.capability") == net_raw);
    CHECK(attribute(root / "foreign", "trusted.overlay.opaque") == "none");
}

TEST_CASE("image layers: whiteouts remove what is below, and what a layer brings itself stays")
{
    Store store;
    Tar below;
    below.directory("a/").file("a/old", "1").directory("a/deep/").file("a/deep/old", "1");
    below.file("gone", "1").directory("tree/").file("tree/x", "1").file("both", "below");
    Tar above;
    // Before its marker as well as after it.
    above.directory("a/").file("a/before", "2").directory("a/deep/").file("a/deep/new", "2").file("a/.wh..wh..opq", "");
    above.file("a/after", "2").file(".wh.gone", "").file(".wh.tree", "").file(".wh.never", "").file(".wh..wh.plnk", "");
    above.file("both", "above").file(".wh.both", "");
    const auto root = store.unpack(Image().layer(below.finish()).layer(above.finish()));
    CHECK(names_in(root) == Names{"a", "both"});
    CHECK(names_in(root / "a") == Names{"after", "before", "deep"});
    CHECK(names_in(root / "a/deep") == Names{"new"});
    CHECK(content(root / "both") == "above");
}

TEST_CASE("image layers: an entry takes the place of another kind, and directories are merged")
{
    Store store;
    Tar below;
    below.directory("dir/").file("dir/x", "1").file("file", "1").directory("tree/").file("tree/x", "1");
    below.symbolic_link("link", "dir").hard_link("twin", "file");
    Tar above;
    above.directory("dir/", 0700).file("dir/y", "2").directory("file/").file("file/inside", "2").file("tree", "2");
    above.directory("link/").file("link/z", "2");
    const auto root = store.unpack(Image().layer(below.finish()).layer(above.finish()));
    CHECK(names_in(root / "dir") == Names{"x", "y"});
    CHECK((status_of(root / "dir").st_mode & 07777) == 0700);
    CHECK(names_in(root / "file") == Names{"inside"});
    CHECK(content(root / "tree") == "2");
    CHECK(S_ISDIR(status_of(root / "link").st_mode));
    CHECK(content(root / "twin") == "1");
}

TEST_CASE("image layers: a file that is replaced leaves its other names as they were")
{
    Store store;
    const auto below = Tar().file("a", "old").hard_link("b", "a").finish();
    const auto root = store.unpack(Image().layer(below).layer(Tar().file("a", "new").finish()));
    CHECK(content(root / "a") == "new");
    CHECK(content(root / "b") == "old");
}

TEST_CASE("image layers: names lead through links within the image, and missing directories are made")
{
    Store store;
    const auto below = Tar().directory("usr/").directory("usr/lib/").symbolic_link("lib", "/usr/lib").finish();
    const auto above = Tar().file("lib/x", "1").file("opt/deep/y", "2").finish();
    const auto root = store.unpack(Image().layer(below).layer(above));
    CHECK(content(root / "usr/lib/x") == "1");
    CHECK(fs::is_symlink(root / "lib"));
    CHECK(content(root / "opt/deep/y") == "2");
    CHECK((status_of(root / "opt/deep").st_mode & 07777) == 0755);
}

TEST_CASE("image layers: names are bytes, in any locale")
{
    const std::string before = std::setlocale(LC_ALL, nullptr);
    for (const auto* const locale : {"C", "C.UTF-8"}) {
        REQUIRE(std::setlocale(LC_ALL, "C.UTF-8"));
        // Composed, decomposed, and of a length that only a header of its own has room for.
        const Names names{"\xc3\xa9", "e\xcc\x81", std::string(200, 'x') + "e\xcc\x81"};
        Tar layer;
        for (const auto& name : names)
            layer.file(name, name);
        const auto bytes = layer.finish();
        REQUIRE(std::setlocale(LC_ALL, locale));
        Store store;
        const auto root = store.unpack(Image().layer(bytes));
        for (const auto& name : names)
            CHECK(content(root / name) == name);
        CHECK(names_in(root).size() == names.size());
    }
    std::setlocale(LC_ALL, before.c_str());
}
