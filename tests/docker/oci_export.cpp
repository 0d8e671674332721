// SPDX-License-Identifier: MIT
// An image that Docker built and saved, unpacked by us, is the tree that Docker itself exports, and is served without
// Docker. As root, since only root can give files to others.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <instancer/backend/oci_store.hpp>
#include <instancer/text/hex.hpp>

#include "daemon.hpp"
#include "docker_support.hpp"
#include "image_archive.hpp"
#include "raw_client.hpp"
#include "temporary_directory.hpp"

namespace fs = std::filesystem;

namespace {

using docker_test::Engine;

const std::string image_name = "instancer-test-layers";

/// The layer that the others are built upon.
std::string base_layer()
{
    std::ifstream file("/bin/busybox", std::ios::binary);
    REQUIRE_MESSAGE(file, "the tests need /bin/busybox, statically linked (busybox-static)");
    const std::string busybox{std::istreambuf_iterator<char>(file), {}};
    image_test::Traits program, reader, ping;
    program.mode = 0755;
    reader.mode = 04750;
    reader.uid = 1000;
    reader.gid = 1001;
    ping.mode = 0755;
    ping.attribute = "security.capability";
    ping.value = std::string("\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    image_test::Tar tar;
    tar.directory("bin/").file("bin/busybox", busybox, program).symbolic_link("bin/sh", "busybox");
    tar.directory("srv/", 02775, 1000)
        .file("srv/reader", "x", reader)
        .file("srv/ping", "x", ping)
        .file("srv/plain", "x", program);
    tar.hard_link("srv/twin", "srv/reader", reader).symbolic_link("srv/up", "../bin/sh").node("srv/pipe", AE_IFIFO);
    tar.hard_link("srv/other", "srv/plain")
        .directory("opaque/")
        .file("opaque/old", "1")
        .directory("opaque/deep/")
        .file("opaque/deep/old", "1");
    tar.directory("gone/").file("gone/x", "1").file("file", "1").directory("tree/").file("tree/x", "1");
    return tar.file("srv/caf\xc3\xa9", "1").file("srv/cafe\xcc\x81", "2").directory("tmp/", 01777).finish();
}

void build_image()
{
    Engine engine;
    engine.call("POST", "/images/create?fromSrc=-&repo=instancer-test-base&tag=latest", base_layer(),
                "application/x-tar");
    REQUIRE(engine.status() == 200);
    const std::string script = "busybox rm -r /gone /opaque && busybox mkdir -m 700 /opaque && echo 2 >/opaque/new && "
                               "busybox rm /file && busybox mkdir /file && busybox rm -r /tree && echo 2 >/tree && "
                               "echo 2 >>/srv/ping && busybox ln /bin/busybox /srv/busybox && "
                               "busybox chown -h 7:8 /srv/up && busybox mknod /tmp/fifo p";
    const auto context = image_test::Tar()
                             .file("Dockerfile", "FROM instancer-test-base\nRUN " + script +
                                                     "\nRUN busybox rm /srv/pipe && busybox chmod 1711 /opaque\n"
                                                     "USER 1000\nEXPOSE 9000\nCMD [\"sh\"]\n")
                             .finish();
    engine.call("POST", "/build?networkmode=none&t=" + image_name, context, "application/x-tar");
    REQUIRE(engine.status() == 200);
}

void run_docker(const std::string& arguments)
{
    const auto command = "DOCKER_HOST=" + docker_test::default_engine() + " docker " + arguments;
    REQUIRE_MESSAGE(std::system(command.c_str()) == 0, command);
}

/// Everything that is compared of a file, in one line. Of a directory not its time, which the engine changes.
std::string describe(mode_t mode, std::uint64_t uid, std::uint64_t gid, std::int64_t time, const std::string& content,
                     const std::string& capability)
{
    std::ostringstream out;
    out << std::oct << mode << std::dec << ' ' << uid << ':' << gid << ' ' << (S_ISDIR(mode) ? 0 : time) << ' '
        << image_test::sha256(content) << ' ' << instancer::to_hex(capability);
    return out.str();
}

using Tree = std::map<std::string, std::string>;

/// What the engine gives to every container.
bool is_engines_own(const std::string& name)
{
    for (const std::string own : {".dockerenv", "dev", "proc", "sys", "etc"})
        if (name == own || name.starts_with(own + "/"))
            return true;
    return false;
}

std::string read_data(archive* from)
{
    std::string content;
    char buffer[65536];
    for (la_ssize_t count = 0; (count = ::archive_read_data(from, buffer, sizeof buffer)) > 0;)
        content.append(buffer, static_cast<std::size_t>(count));
    return content;
}

std::string describe_entry(archive* from, archive_entry* entry)
{
    std::string capability;
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    ::archive_entry_xattr_reset(entry);
    while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
        if (name == std::string_view("security.capability"))
            capability.assign(static_cast<const char*>(value), size);
    const auto* const target = ::archive_entry_symlink(entry);
    return describe(::archive_entry_mode(entry), static_cast<std::uint64_t>(::archive_entry_uid(entry)),
                    static_cast<std::uint64_t>(::archive_entry_gid(entry)), ::archive_entry_mtime(entry),
                    target ? target : read_data(from), capability);
}

Tree read_export(const std::string& path)
{
    const std::unique_ptr<archive, decltype(&::archive_read_free)> from(::archive_read_new(), ::archive_read_free);
    ::archive_read_support_format_tar(from.get());
    REQUIRE(::archive_read_open_filename(from.get(), path.c_str(), 65536) == ARCHIVE_OK);
    Tree tree;
    archive_entry* entry = nullptr;
    for (int status = 0; (status = ::archive_read_next_header(from.get(), &entry)) != ARCHIVE_EOF;) {
        // Of a name that is no ASCII it warns.
        REQUIRE(status >= ARCHIVE_WARN);
        std::string name = ::archive_entry_pathname(entry);
        if (name.ends_with('/'))
            name.pop_back();
        if (is_engines_own(name))
            continue;
        const auto* const link = ::archive_entry_hardlink(entry);
        tree[name] = link ? tree.at(link) : describe_entry(from.get(), entry);
    }
    return tree;
}

Tree read_tree(const fs::path& root)
{
    Tree tree;
    for (const auto& file : fs::recursive_directory_iterator(root)) {
        struct stat status {};
        REQUIRE(::lstat(file.path().c_str(), &status) == 0);
        std::string content, capability(64, '\0');
        if (file.is_symlink())
            content = fs::read_symlink(file.path()).string();
        else if (file.is_regular_file()) {
            std::ifstream from(file.path(), std::ios::binary);
            content.assign(std::istreambuf_iterator<char>(from), {});
        }
        const auto size = ::lgetxattr(file.path().c_str(), "security.capability", capability.data(), capability.size());
        capability.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
        tree[file.path().lexically_relative(root).string()] =
            describe(status.st_mode, status.st_uid, status.st_gid, status.st_mtime, content, capability);
    }
    return tree;
}

}  // namespace

TEST_CASE("a saved image is unpacked to what Docker exports" * doctest::skip(::geteuid() != 0))
{
    build_image();
    const daemon_test::TemporaryDirectory directory;
    const auto saved = directory.path("image.tar"), exported = directory.path("export.tar");
    run_docker("save -o " + saved + " " + image_name);
    const auto container = Engine().call("POST", "/containers/create", R"({"Image": ")" + image_name + R"("})");
    const auto id = container.at("Id").get<std::string>();
    run_docker("export -o " + exported + " " + id);
    Engine().call("DELETE", "/containers/" + id);

    auto store = instancer::OciStore::open(directory.path("store"));
    REQUIRE_MESSAGE(store, store.error().message());
    const auto image = store->import_archive(saved);
    REQUIRE_MESSAGE(image, image.error().message());
    CHECK(image->command == std::vector<std::string>{"sh"});
    CHECK(image->user == "1000");
    CHECK(image->exposed_ports == std::vector<std::uint16_t>{9000});
    CHECK(image->digest == Engine().call("GET", "/images/" + image_name + "/json").at("Id").get<std::string>());

    const auto expected = read_export(exported), tree = read_tree(image->root);
    REQUIRE(expected.contains("srv/ping"));
    for (const auto& [name, description] : expected)
        CHECK_MESSAGE((tree.contains(name) && tree.at(name) == description),
                      name << ": " << description << " and not " << (tree.contains(name) ? tree.at(name) : "there"));
    for (const auto& [name, description] : tree)
        CHECK_MESSAGE(expected.contains(name), name);
    const auto inode = [&](const char* name) {
        struct stat status {};
        REQUIRE(::stat((image->root / name).c_str(), &status) == 0);
        return status.st_ino;
    };
    CHECK(inode("srv/twin") == inode("srv/reader"));
}

TEST_CASE("a saved image is served as it says itself" * doctest::skip(::geteuid() != 0))
{
    build_image();
    const daemon_test::TemporaryDirectory directory;
    const auto saved = directory.path("image.tar");
    run_docker("save -o " + saved + " " + image_name);
    daemon_test::Daemon daemon(
        {"oci", "--listen", "127.0.0.1:0", "--archive", saved, "--store", directory.path("store"), "--stdio"});
    daemon_test::RawClient client(daemon.port());
    client.send("busybox id -u; busybox cat /opaque/new\n");
    client.half_close();
    CHECK(client.receive_all() == "1000\n2\n");
}
