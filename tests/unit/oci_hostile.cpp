// SPDX-License-Identifier: MIT
// Archives of images whose authors mean no good, and damaged ones: refused by name, with nothing written elsewhere.
#include "oci_fixture.hpp"

#include <unistd.h>

using namespace oci_test;

namespace {

/// A directory beside the store that an archive tries to reach.
class Victim {
public:
    std::string path(const std::string& name) const { return directory_.path(name); }
    bool is_untouched() const { return names_in(directory_.path()).empty(); }

private:
    daemon_test::TemporaryDirectory directory_;
};

void check_begins(const std::string& text, const std::string& begin) { CHECK_MESSAGE(text.starts_with(begin), text); }

}  // namespace

TEST_CASE("hostile image: names that lead out of it")
{
    Store store;
    const Victim victim;
    const auto absolute = victim.path("x");
    Tar tar;
    SUBCASE("absolute") { check_begins(store.refuses(tar.file(absolute, "x")), absolute + ": its name is absolute: "); }
    SUBCASE("upwards")
    {
        check_begins(store.refuses(tar.file("a/../../x", "x")), "a/../../x: its name leads out of its directory: ");
    }
    SUBCASE("a hard link to elsewhere")
    {
        check_begins(store.refuses(tar.hard_link("x", "../../image.tar")),
                     "x: it is a link to ../../image.tar, and its name leads out");
        Tar other;
        check_begins(store.refuses(other.hard_link("x", "/etc/passwd")), "x: it is a link to /etc/passwd, and");
    }
    SUBCASE("a hard link to nothing")
    {
        check_begins(store.refuses(tar.hard_link("x", "y")), "x: it is a link to y, which is no file that came before");
        Tar other;
        check_begins(store.refuses(other.directory("d/").hard_link("x", "d")),
                     "x: it is a link to d, which is no file");
    }
    SUBCASE("a symbolic link to elsewhere")
    {
        tar.directory("a/").symbolic_link("a/x", "b/../../../" + absolute);
        check_begins(store.refuses(tar), "a/x: it is a link out of the root directory, to b/../../../");
    }
    SUBCASE("whiteouts of the directory above")
    {
        for (const auto* const name : {".wh...", "a/.wh..", ".wh."}) {
            Tar other;
            check_begins(store.refuses(other.directory("a/").file(name, "")),
                         std::string(name) + ": it removes a directory from within");
        }
    }
    SUBCASE("in place of the root directory")
    {
        check_begins(store.refuses(tar.symbolic_link(".", "/")), ".: it takes the place of the root directory");
    }
    SUBCASE("none") { check_begins(store.refuses(tar.file("", "x")), ": it has no name"); }
    CHECK(victim.is_untouched());
}

TEST_CASE("hostile image: links that stand for directories of the host lead to those of the image")
{
    Store store;
    const Victim victim;
    const auto directory = victim.path("");
    Tar below, above;
    below.symbolic_link("out", directory).directory("." + directory).symbolic_link("dangling", "/nowhere");
    above.file("out/x", "inside").file("out/.wh.y", "");
    const auto root = store.unpack(Image().layer(below.finish()).layer(above.finish()));
    CHECK(content(root / ("." + directory) / "x") == "inside");
    Tar dangling;
    check_begins(store.refuses(dangling.symbolic_link("dangling", "/nowhere").file("dangling/x", "1")),
                 "dangling/x: making its directory dangling: ");
    Tar through_file;
    check_begins(store.refuses(through_file.file("f", "1").file("f/x", "1")), "f/x: opening its directory: ");
    CHECK(victim.is_untouched());
}

TEST_CASE("hostile image: device nodes")
{
    Store store;
    for (const auto type : {AE_IFCHR, AE_IFBLK}) {
        Tar tar;
        check_begins(store.refuses(tar.directory("dev/").node("dev/sda", type)),
                     "dev/sda: it is a device node: remove");
    }
}

TEST_CASE("hostile image: owners beyond those of the system; needs root" * doctest::skip(::geteuid() != 0))
{
    Store store;
    Traits nobody;
    nobody.uid = 0xffffffff;
    Tar tar;
    check_begins(store.refuses(tar.file("x", "1", nobody)), "x: its owner has no number of a user");
}

TEST_CASE("hostile image: more entries and bytes than are allowed")
{
    Store store;
    SUBCASE("entries")
    {
        Tar tar;
        for (int i = 0; i < 100'000; ++i)
            tar.file("again", "");
        check_begins(store.refuses(tar.file("last", "")),
                     "last: with it the image has more entries than are allowed: allow more");
    }
    SUBCASE("directories that no entry tells of")
    {
        store.options.most_entries = 100;
        std::string deep;
        for (int i = 0; i < 100; ++i)
            deep += "d/";
        Tar tar, allowed;
        check_begins(store.refuses(tar.file(deep + "x", "")), deep + "x: with it the image has more entries than");
        store.unpack(Image().layer(allowed.file(deep.substr(2) + "x", "").finish()));
    }
    SUBCASE("bytes, of which the archive has few")
    {
        store.options.most_bytes = 1 << 20;
        const auto tar = Tar().file("zeros", std::string(2 << 20, '\0')).finish();
        const auto packed = Tar(Compression::gzip).file("zeros", std::string(2 << 20, '\0')).finish();
        const auto text = store.refuses(Image().layer(tar, packed).oci_archive());
        CHECK_MESSAGE(text.find("zeros: with it the image has more bytes than are allowed: allow more") != text.npos,
                      text);
    }
    SUBCASE("bytes of the layers together")
    {
        store.options.most_bytes = 3 << 20;
        Image image;
        for (const auto* const name : {"a", "b"})
            image.layer(Tar().file(name, std::string(2 << 20, 'x')).finish());
        CHECK(store.refuses(image.docker_archive()).find("layer 2 of 2 (1/layer.tar): b: with it the image has more") !=
              std::string::npos);
    }
    SUBCASE("bytes that are no entries")
    {
        store.options.most_bytes = 1 << 20;
        const auto tar = Tar().file("x", "1").finish() + std::string(4 << 20, '\0');
        CHECK(store.refuses(Image().layer(tar).docker_archive()).find("it has more bytes unpacked than are allowed") !=
              std::string::npos);
    }
    SUBCASE("bytes of the archive itself")
    {
        store.options.most_bytes = 1 << 20;
        CHECK(store.refuses(Tar(Compression::gzip).file("x", std::string(4 << 20, '\0')).finish())
                  .find("it has more bytes, decompressed, than an image may have") != std::string::npos);
    }
}

TEST_CASE("damaged image: layers that are cut, or others than the image names")
{
    Store store;
    const auto layer = Tar().file("x", std::string(100'000, 'x')).finish();
    const auto packed = Tar(Compression::gzip).file("x", std::string(100'000, 'x')).finish();
    SUBCASE("a layer is cut")
    {
        const auto text = store.refuses(Image().layer(layer, layer.substr(0, 50'000)).docker_archive());
        CHECK_MESSAGE(text.find("layer 1 of 1 (0/layer.tar): x: ") != text.npos, text);
    }
    SUBCASE("a compressed layer is cut")
    {
        const auto text = store.refuses(Image().layer(layer, packed.substr(0, packed.size() - 20)).oci_archive());
        CHECK_MESSAGE(text.find("truncated gzip input") != text.npos, text);
    }
    SUBCASE("a layer is another one")
    {
        const auto other = Tar().file("x", "evil").finish();
        const auto text = store.refuses(Image().layer(layer, other).docker_archive());
        CHECK_MESSAGE(text.find("(0/layer.tar): its digest is sha256:" + sha256(other) +
                                " and should be sha256:" + sha256(layer) + ": make it again") != text.npos,
                      text);
    }
    SUBCASE("a file of the archive is another one than its name says")
    {
        auto archive = Image().layer(layer).oci_archive();
        archive.replace(archive.find(std::string(100, 'x')), 1, "y");
        CHECK(store.refuses(archive).find("and should be sha256:" + sha256(layer)) != std::string::npos);
    }
    SUBCASE("the configuration is another one")
    {
        for (auto archive : {Image().layer(layer).oci_archive(), Image().layer(layer).docker_archive()}) {
            archive.replace(archive.find("linux"), 5, "Linux");
            CHECK(store.refuses(archive).find(": its digest is sha256:") != std::string::npos);
        }
    }
    SUBCASE("the archive is cut")
    {
        const auto archive = Image().layer(layer).docker_archive();
        for (std::size_t size = 0; size < archive.size(); size += 10'007)
            store.refuses(archive.substr(0, size));
    }
}

TEST_CASE("damaged image: what is no archive of an image is refused by name")
{
    Store store;
    const auto says = [&](const std::string& archive, const std::string& text) {
        const auto refusal = store.refuses(archive);
        CHECK_MESSAGE(refusal.find("image.tar: " + text) != refusal.npos, refusal);
    };
    says("#!/bin/sh\n", "Unrecognized archive format");
    says(Tar().file("x", "1").finish(),
         "it has neither index.json nor manifest.json: it is no archive of an image; "
         "write one by docker save, or unpack what docker export wrote into a directory of "
         "files");
    says(Tar().file("manifest.json", "[").finish(), "manifest.json: ");
    says(Tar().file("manifest.json", "[]").finish(), "it has no image");
    says(Tar().file("manifest.json", R"([{"Config": 5}])").finish(), "its index is none of an image: ");
    says(Tar().file("manifest.json", R"([{"Config": "a", "Layers": []}])").finish(), "it has no file a");
    says(Tar().file("a", "{}").file("manifest.json", R"([{"Config": "a", "Layers": []}])").finish(),
         "a: it is no configuration of an image: ");
    says(Tar().file("index.json", R"({"manifests": [{"digest": "sha256:../../../etc/passwd"}]})").finish(),
         "'sha256:../../../etc/passwd' is no SHA-256 digest");
    says(Tar().file("manifest.json", std::string((4 << 20) + 1, ' ')).finish(), "its file manifest.json has more than");
    Image image;
    image.config = {{"Cmd", {std::string("a\0b", 3)}}};
    says(image.docker_archive(), sha256(image.config_text()) + ".json: it is no configuration of an image: a text");
    const auto missing = store->import_archive("/nonexistent.tar");
    CHECK(missing.error().message().find("the archive /nonexistent.tar: opening: No such file") != std::string::npos);
}
