// SPDX-License-Identifier: MIT
// Images on disk: what an archive says of itself, and what the store keeps when it is interrupted.
#include "oci_fixture.hpp"

#include <chrono>
#include <csignal>
#include <stop_token>
#include <thread>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace oci_test;

namespace {

using Names = std::vector<std::string>;

std::string small_layer() { return Tar().directory("etc/").file("etc/motd", "hello\n").finish(); }

Image small_image()
{
    Image image;
    image.layer(small_layer());
    image.config = {{"Cmd", {"cat"}}};
    return image;
}

std::string name_of(const Image& image)
{
    auto name = image.digest();
    std::ranges::replace(name, ':', '-');
    return name;
}

/// Unpacking takes a while.
Image large_image()
{
    Tar layer;
    for (int i = 0; i < 5'000; ++i)
        layer.file("many/" + std::to_string(i), "x");
    Image image;
    image.layer(layer.finish());
    return image;
}

/// Until there are many files of what is imported.
void await_files(const Store& store)
{
    const auto files = store.path("partial/rootfs/many");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::error_code error;
    while (std::chrono::steady_clock::now() < deadline && !fs::exists(files / "100", error))
        std::this_thread::yield();
}

/// Has a process import `archive`, and ends it with KILL once there are many files of it.
void import_and_kill(Store& store, const std::string& archive)
{
    const auto child = ::fork();
    if (child == 0) {
        (void)store->import_archive(archive);
        ::_exit(0);
    }
    await_files(store);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("image store: what the image says of how its program is started")
{
    Store store;
    Image image = small_image();
    image.config = {{"Entrypoint", {"/bin/sh", "-c"}},
                    {"Cmd", {"exec socat"}},
                    {"Env", {"PATH=/bin", "EMPTY=", "A=b=c", "none", "=odd"}},
                    {"User", "ctf:players"},
                    {"WorkingDir", "/srv/../app/"},
                    {"Volumes", {{"/data/", json::object()}}},
                    {"ExposedPorts", {{"9000/tcp", {}}, {"53/udp", {}}, {"80", {}}, {"70000/tcp", {}}}}};
    for (const auto& archive : {image.docker_archive(), image.oci_archive()}) {
        const auto found = store.import(archive);
        CHECK(found.entrypoint == Names{"/bin/sh", "-c"});
        CHECK(found.command == Names{"exec socat"});
        const std::vector<std::pair<std::string, std::string>> env{{"PATH", "/bin"}, {"EMPTY", ""}, {"A", "b=c"}};
        CHECK(found.env == env);
        CHECK(found.user == "ctf:players");
        CHECK(found.working_directory == "/app");
        CHECK(found.volumes == Names{"/data"});
        CHECK(found.exposed_ports == std::vector<std::uint16_t>{80, 9000});
        CHECK(found.digest == image.digest());
        CHECK(found.root == store.path(name_of(image)));
        CHECK(content(found.root / "etc/motd") == "hello\n");
    }
    CHECK(names_in(store.path()) == Names{name_of(image)});
}

TEST_CASE("image store: an image that says nothing runs in the root directory")
{
    Store store;
    Image image;
    image.layer(small_layer());
    image.config = nullptr;
    const auto found = store.import(image.docker_archive());
    CHECK(found.working_directory == "/");
    CHECK(found.entrypoint.empty());
    CHECK(found.user == "");
}

TEST_CASE("image store: compressed archives and layers")
{
    for (const auto compression : {Compression::gzip, Compression::zstd}) {
        Store store;
        const auto packed = Tar(compression).directory("etc/").file("etc/motd", "hello\n").finish();
        Image image;
        image.layer(small_layer(), packed);
        for (const auto& archive : {image.docker_archive(), image.oci_archive(), image.docker_archive(compression)})
            CHECK(content(store.import(archive).root / "etc/motd") == "hello\n");
    }
}

TEST_CASE("image store: an image is unpacked once, whatever archive it comes in")
{
    Store store;
    const auto root = store.import(small_image().docker_archive()).root;
    std::ofstream(root / "mark") << "x";
    CHECK(store.import(small_image().oci_archive()).root == root);
    store.open();
    CHECK(store.import(small_image().docker_archive()).root == root);
    CHECK(fs::exists(root / "mark"));
}

TEST_CASE("image store: the directory is its owner's alone, and one process has it")
{
    Store store;
    CHECK((status_of(store.path()).st_mode & 07777) == 0700);
    const auto second = OciStore::open(store.path());
    REQUIRE_FALSE(second);
    CHECK(second.error() == Errc::backend_unavailable);
    CHECK(second.error().message().find("is in use by another daemon: name another directory") != std::string::npos);

    const daemon_test::TemporaryDirectory directory;
    fs::create_directory(directory.path("open"));
    fs::permissions(directory.path("open"), fs::perms(0755));
    const auto open = OciStore::open(directory.path("open"));
    REQUIRE_FALSE(open);
    CHECK(open.error().message().find("chmod 700 it") != std::string::npos);
    fs::create_directory_symlink(store.path(), directory.path("link"));
    CHECK_FALSE(OciStore::open(directory.path("link")));
}

TEST_CASE("image store: another user's directory is refused; needs root" * doctest::skip(::geteuid() != 0))
{
    const daemon_test::TemporaryDirectory directory;
    fs::create_directory(directory.path("theirs"));
    fs::permissions(directory.path("theirs"), fs::perms(0700));
    REQUIRE(::chown(directory.path("theirs").c_str(), 1234, 1234) == 0);
    const auto theirs = OciStore::open(directory.path("theirs"));
    REQUIRE_FALSE(theirs);
    CHECK(theirs.error().message().find("belongs to user 1234 and not to us") != std::string::npos);
}

TEST_CASE("image store: directories above it in which others could replace it are refused")
{
    const daemon_test::TemporaryDirectory directory;
    const auto above = fs::path(directory.path("above"));
    const auto refusal = [&] {
        const auto store = OciStore::open(above / "between/store");
        CHECK_FALSE(fs::exists(above / "between"));
        return store ? std::string() : store.error().message();
    };
    fs::create_directory(above);
    for (const auto mode : {0777, 0775}) {
        fs::permissions(above, fs::perms(mode));
        const auto text = refusal();
        CHECK_MESSAGE(text.find(above.string() + " may be written to by others") != text.npos, text);
        CHECK_MESSAGE(text.find("chmod go-w it, or name another directory") != text.npos, text);
    }
    if (::geteuid() == 0) {
        fs::permissions(above, fs::perms(0700));
        REQUIRE(::chown(above.c_str(), 1234, 1234) == 0);
        const auto text = refusal();
        CHECK_MESSAGE(text.find(above.string() + " belongs to user 1234, who could replace") != text.npos, text);
        fs::create_directory_symlink(above, directory.path("link"));
        CHECK_FALSE(OciStore::open(directory.path("link/store")));
        REQUIRE(::chown(above.c_str(), 0, 0) == 0);
    }
    fs::permissions(above, fs::perms(01777));
    CHECK(OciStore::open(above / "between/store"));
}

TEST_CASE("image store: nothing gets into a directory that has taken its place")
{
    Store store;
    const daemon_test::TemporaryDirectory elsewhere;
    const fs::path moved = elsewhere.path("moved");
    fs::rename(store.path(), moved);
    fs::create_directory(store.path());
    fs::create_directory(elsewhere.path("target"));
    fs::create_directory_symlink(elsewhere.path("target"), store.path("partial"));
    const auto image = store.import(small_image().docker_archive(Compression::gzip));
    CHECK(names_in(store.path()) == Names{"partial"});
    CHECK(names_in(elsewhere.path("target")).empty());
    CHECK(names_in(moved) == Names{name_of(small_image())});
    CHECK(*store->prune({}) == Names{image.digest});
    CHECK(names_in(moved).empty());
    CHECK(fs::is_symlink(store.path("partial")));
}

TEST_CASE("image store: everybody may enter directories that no entry tells of, whatever the umask is")
{
    Store store;
    const auto before = ::umask(077);
    const auto root = store.unpack(Image().layer(Tar().file("etc/conf/motd", "hello\n").finish()));
    ::umask(before);
    for (const auto* const name : {".", "etc", "etc/conf"})
        CHECK((status_of(root / name).st_mode & 07777) == 0755);
}

TEST_CASE("image store: what a killed import has left is no image, and goes")
{
    Store store;
    const auto archive = store.keep(large_image().docker_archive());
    import_and_kill(store, archive);
    CHECK(names_in(store.path()) == Names{"partial"});
    store.open();
    CHECK(names_in(store.path()).empty());
    const auto whole = store->import_archive(archive);
    REQUIRE(whole);
    CHECK(names_in(whole->root / "many").size() == 5'000);
}

TEST_CASE("image store: an import that is stopped ends at once and leaves nothing")
{
    Store store;
    std::stop_source source;
    OciImport import;
    import.stop = source.get_token();
    const auto imported = [&](const std::string& archive) {
        const auto image = store->import_archive(archive, import);
        CHECK(names_in(store.path()).empty());
        return image ? std::string() : image.error().message();
    };
    const auto archive = store.keep(large_image().docker_archive());
    std::thread other([&] {
        await_files(store);
        source.request_stop();
    });
    const auto text = imported(archive);
    other.join();
    CHECK_MESSAGE(text.find("image.tar: layer 1 of 1 (0/layer.tar): ") != text.npos, text);
    CHECK_MESSAGE(text.find("the import was stopped") != text.npos, text);
    // The index is read as well, and decompressed before that.
    for (const auto compression : {Compression::none, Compression::gzip})
        CHECK(imported(store.keep(small_image().docker_archive(compression))).find("the import was stopped") !=
              std::string::npos);
}

TEST_CASE("image store: prune removes images that are not used, and nothing else")
{
    Store store;
    Image other = small_image();
    other.config = {{"Cmd", {"other"}}};
    const auto used = store.import(small_image().docker_archive());
    const auto unused = store.import(other.docker_archive());
    std::ofstream(store.path("notes")) << "x";
    const auto removed = store->prune({used.digest, "sha256:none"});
    REQUIRE_MESSAGE(removed, removed.error().message());
    CHECK(*removed == Names{unused.digest});
    CHECK(names_in(store.path()) == Names{"notes", name_of(small_image())});
    CHECK(store->digest_of(store.keep(other.docker_archive())) == other.digest());
    CHECK(store->prune({used.digest})->empty());
}

TEST_CASE("image store: of several images the one for this machine")
{
    Store store;
    Image foreign = small_image();
    foreign.architecture = "s390x";
    const auto descriptor_for = [](const Image& image, Tar& tar, const std::string& architecture) {
        auto descriptor = image.add_to(tar);
        descriptor["platform"] = {{"os", "linux"}, {"architecture", architecture}};
        return descriptor;
    };
    const auto index_of = [&](Tar& tar, const json& manifests) {
        return Image::add_blob(tar, "application/vnd.oci.image.index.v1+json", json{{"manifests", manifests}}.dump());
    };
    const auto here = json::parse(small_image().config_text())["architecture"].get<std::string>();
    SUBCASE("chosen by the platform, in an index within the index, past what is attached")
    {
        Tar tar;
        auto attached = Image::add_blob(tar, "application/vnd.oci.image.manifest.v1+json", "{}");
        attached["platform"] = {{"os", "unknown"}, {"architecture", "unknown"}};
        json elsewhere = attached;
        elsewhere["digest"] = "sha256:" + std::string(64, '0');
        elsewhere["platform"] = {{"os", "linux"}, {"architecture", "riscv64"}};
        const json manifests{descriptor_for(foreign, tar, "s390x"), attached, elsewhere,
                             descriptor_for(small_image(), tar, here)};
        const auto archive = Image::finish_oci(tar, json::array({index_of(tar, manifests)}));
        CHECK(store.import(archive).digest == small_image().digest());
        store.options.platform = "linux/s390x";
        CHECK(store.import(archive).digest == foreign.digest());
    }
    SUBCASE("none")
    {
        CHECK(store.refuses(foreign.docker_archive())
                  .find("it has no image for linux/" + here + ", only for linux/s390x: build it for that platform") !=
              std::string::npos);
    }
    SUBCASE("two")
    {
        Image other = small_image();
        other.config = {{"Cmd", {"other"}}};
        Tar tar;
        auto first = descriptor_for(small_image(), tar, here), second = descriptor_for(other, tar, here);
        first["annotations"] = {{"org.opencontainers.image.ref.name", "one"}};
        second["annotations"] = {{"org.opencontainers.image.ref.name", "two"}};
        const auto text = store.refuses(Image::finish_oci(tar, {first, second}));
        CHECK(text.find("it has several images for linux/" + here + ": one, two: save one") != std::string::npos);
    }
}
