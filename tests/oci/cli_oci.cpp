// SPDX-License-Identifier: MIT
// The daemon as a user starts it with an archive of an image.
#include <oci_support.hpp>

#include <iterator>

#include <daemon.hpp>
#include <image_archive.hpp>
#include <raw_client.hpp>

using namespace oci_test;
using daemon_test::Child;
using daemon_test::Daemon;
using daemon_test::RawClient;
using image_test::Image;
using image_test::Tar;

namespace {

using Words = std::vector<std::string>;

/// busybox, and who there is.
std::string base_layer()
{
    std::ifstream file("/bin/busybox", std::ios::binary);
    REQUIRE_MESSAGE(file, "the tests need /bin/busybox, statically linked (busybox-static)");
    image_test::Traits program;
    program.mode = 0755;
    Tar tar;
    tar.directory("bin/").file("bin/busybox", std::string{std::istreambuf_iterator<char>(file), {}}, program);
    for (const auto* applet : {"sh", "nc", "cat", "id", "sleep"})
        tar.symbolic_link(std::string("bin/") + applet, "busybox");
    tar.directory("srv/").directory("tmp/", 01777).directory("etc/");
    return tar.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nplayer:x:1234:99::/home/player:/bin/sh\n").finish();
}

/// An image that says by itself how it is started.
Image image()
{
    Image made;
    made.layer(base_layer());
    made.config = {{"Entrypoint", {"/bin/sh", "-c"}},
                   {"Cmd", {"echo $(id -u) $(pwd) $GREETING"}},
                   {"Env", {"GREETING=hello"}},
                   {"User", "player"},
                   {"WorkingDir", "/srv"}};
    return made;
}

/// A directory with an archive and a store, for daemons of one name.
class Place {
public:
    explicit Place(const std::string& archive)
    {
        static int count = 0;
        name = "cli-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
        directory.file("image.tar", archive);
        store = directory.path("store");
    }

    Words daemon(const Words& options, const Words& command = {}) const
    {
        Words all = {"oci",     "--listen", "127.0.0.1:0", "--name", name, "--archive", directory.path("image.tar"),
                     "--store", store};
        all.insert(all.end(), options.begin(), options.end());
        if (!command.empty())
            all.emplace_back("--");
        all.insert(all.end(), command.begin(), command.end());
        return all;
    }

    /// A configuration of services with these archives, all in the store.
    std::string configuration(const Words& archives) const
    {
        image_test::json services;
        for (const auto& archive : archives)
            services["s" + std::to_string(services.size())] = {
                {"mode", "oci"},
                {"listen", "127.0.0.1:" + std::to_string(services.size() + 1)},
                {"archive", archive},
                {"store", "store"},
                {"stdio", true}};
        return directory.file("c.json", image_test::json{{"services", services}}.dump());
    }

    Words images() const
    {
        Words names;
        for (const auto& entry : std::filesystem::directory_iterator(store))
            names.push_back(entry.path().filename().string());
        return names;
    }

    std::string name, store;
    daemon_test::TemporaryDirectory directory;
};

std::string talk(const Daemon& daemon)
{
    RawClient client(daemon.port());
    client.half_close();
    return client.receive_all();
}

/// What instancerd says until it ends by itself, with the exit code before it.
std::string run(const Words& arguments, const Words& environment = {})
{
    Child child(daemon_test::instancerd(arguments), environment);
    const auto code = child.wait();
    return (code ? std::to_string(*code) : "still runs") + ": " + child.whole_log();
}

std::string directory_name(const Image& made)
{
    auto name = made.digest();
    std::ranges::replace(name, ':', '-');
    return name;
}

}  // namespace

TEST_CASE("archive: what the image says is the default, in both formats and by both runtimes")
{
    for (const auto& archive : {image().docker_archive(), image().oci_archive()})
        for (const auto& runtime : runtimes) {
            CAPTURE(runtime);
            const Place place(archive);
            {
                Daemon daemon(place.daemon({"--stdio", "--runtime", runtime}));
                CHECK(talk(daemon) == "1234 /srv hello\n");
                CHECK(daemon.terminate() == 0);
            }
            CHECK(leftovers(place.name).empty());
            CHECK(place.images() == Words{directory_name(image())});
        }
}

TEST_CASE("archive: options go before what the image says")
{
    const Place place(image().docker_archive());
    Daemon daemon(place.daemon({"--stdio", "--user", "77:77", "--env", "GREETING=hi"}, {"echo $(id -u) $GREETING"}));
    CHECK(talk(daemon) == "77 hi\n");
}

TEST_CASE("archive: the one port that the image exposes is where clients are connected to")
{
    auto made = image();
    made.config["ExposedPorts"] = {{"80/tcp", image_test::json::object()}, {"53/udp", image_test::json::object()}};
    made.config["Cmd"] = {"exec nc -ll -p 80 -e /bin/cat"};
    const Place place(made.oci_archive());
    Daemon daemon(place.daemon({}));
    RawClient client(daemon.port());
    client.send("to and fro");
    CHECK(client.receive(10) == "to and fro");
}

TEST_CASE("archive: what the image does not say is asked for")
{
    auto made = image();
    made.config = image_test::json::object();
    const Place place(made.docker_archive());
    CHECK(run(place.daemon({"--stdio"})).find("no command is named, and the image has none") != std::string::npos);
    CHECK(run(place.daemon({}, {"sh"})).find("the image exposes no port, and just one TCP port is needed; say which") !=
          std::string::npos);
}

TEST_CASE("archive: no two daemons have one store, and two services of one daemon share it")
{
    const Place place(image().docker_archive());
    Place other(image().docker_archive());
    other.store = place.store;
    const auto config = place.configuration({"image.tar", "./image.tar"});
    Daemon first(daemon_test::instancerd({"run", "--name", place.name, "--config", config}), {}, -1, 2);
    CHECK(talk(first) == "1234 /srv hello\n");
    const auto refusal = run(other.daemon({"--stdio"}));
    CHECK_MESSAGE(refusal.find(place.store + " is in use by another daemon") != std::string::npos, refusal);
    CHECK(run({"oci", "prune", "--config", config}) ==
          "1: instancerd: " + place.store + " is in use by a daemon; stop it first\n");
    first.signal(SIGKILL);
    first.wait();
    Daemon second(other.daemon({"--stdio"}));
    CHECK(talk(second) == "1234 /srv hello\n");
}

TEST_CASE("archive: a daemon that is told to end while it unpacks ends, and leaves nothing of the image")
{
    Tar layer;
    for (int i = 0; i < 40'000; ++i)
        layer.file("many/" + std::to_string(i), "x");
    const Place place(Image().layer(layer.finish()).docker_archive());
    Child daemon(daemon_test::instancerd(place.daemon({"--stdio"}, {"/many/1"})));
    const auto unpacked = place.store + "/partial/rootfs/many/1000";
    while (!std::filesystem::exists(unpacked) && !daemon.wait(1ms)) {}
    daemon.signal(SIGTERM);
    CHECK(daemon.wait() == 0);
    CHECK(place.images().empty());
    CHECK(daemon.whole_log().find("40000") == std::string::npos);
}

TEST_CASE("oci prune removes the images that the configuration does not use, and nothing else does")
{
    auto old = image();
    old.config["User"] = "99";
    const Place place(old.docker_archive());
    {
        Daemon daemon(place.daemon({"--stdio"}));
        CHECK(daemon.terminate() == 0);
    }
    place.directory.file("image.tar", image().docker_archive());
    {
        Daemon daemon(place.daemon({"--stdio"}));
        CHECK(talk(daemon) == "1234 /srv hello\n");
        CHECK(daemon.terminate() == 0);
    }
    CHECK(place.images().size() == 2);
    const auto config = place.configuration({"image.tar"});
    CHECK(run({"oci", "prune", "--config", config}) == "0: removed " + old.digest() + " from " + place.store + "\n");
    CHECK(place.images() == Words{directory_name(image())});
    CHECK(run({"oci", "prune", "--config", config}) == "0: nothing to remove\n");
    // What is in use is not known then.
    place.directory.file("image.tar", "broken");
    CHECK(run({"oci", "prune", "--config", config}).starts_with("1: instancerd: the archive "));
    CHECK(place.images() == Words{directory_name(image())});
}

TEST_CASE("check unpacks archives, names those that no image should be, and leaves nothing")
{
    const daemon_test::TemporaryDirectory temporary;
    const auto check = [&](const std::string& archive) {
        const Place place(archive);
        auto said = run({"check", "--config", place.configuration({"image.tar"})}, {"TMPDIR=" + temporary.path()});
        CHECK(std::filesystem::is_empty(temporary.path()));
        CHECK_FALSE(std::filesystem::exists(place.store));
        return said;
    };
    const auto refuses = [&](const Image& hostile, const std::string& why) {
        const auto said = check(hostile.docker_archive());
        CHECK_MESSAGE((said.starts_with("2: ") && said.find("$.services.s0.archive: ") != said.npos &&
                       said.find(why) != said.npos),
                      said);
    };
    const auto layer = [](Tar& tar) { return Image().layer(tar.finish()); };
    const auto outside = temporary.path("outside");
    Tar link, device, absolute, upwards, through, whole;
    refuses(layer(link.hard_link("x", "../../image.tar")),
            "x: it is a link to ../../image.tar, and its name leads out");
    refuses(layer(device.node("null", AE_IFCHR)), "null: it is a device");
    refuses(layer(absolute.file(outside, "x")), outside + ": its name is absolute");
    refuses(layer(upwards.file("a/../../x", "x")), "a/../../x: its name leads out of its directory");
    refuses(layer(through.symbolic_link("up", "../../..").file("up/x", "x")),
            "up: it is a link out of the root directory");
    const auto tar = whole.file("x", std::string(100'000, 'x')).finish();
    refuses(Image().layer(tar, tar.substr(0, 50'000)), "layer 1 of 1 (0/layer.tar): x: ");
    auto nobody = image();
    nobody.config["User"] = "stranger";
    refuses(nobody, "the image's /etc/passwd has no user stranger; name one by number");
    refuses(Image().layer(base_layer()), "no command is named, and the image has none");
    auto mistyped = image();
    mistyped.config["Entrypoint"] = {"/bin/shh"};
    refuses(mistyped, "its files have no program /bin/shh; correct the command");
    mistyped.config = {{"Entrypoint", {"shh"}}, {"Env", {"PATH=/bin:/sbin"}}};
    refuses(mistyped, "its files have no program shh in /bin:/sbin; correct the command");
    CHECK(check(image().oci_archive()).starts_with("0: "));
}

TEST_CASE("check looks for the program in the files of containers, and for what starts them")
{
    const Rootfs files;
    const daemon_test::TemporaryDirectory directory;
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    const auto check = [&](const Words& command, image_test::json more = image_test::json::object()) {
        more.update({{"mode", "oci"},
                     {"listen", "127.0.0.1:1"},
                     {"rootfs", files.path().string()},
                     {"stdio", true},
                     {"command", command}});
        return directory.file("c.json", image_test::json{{"services", {{"s0", more}}}}.dump());
    };
    const auto says = [&](const std::string& config) { return run({"check", "--config", config}); };
    CHECK(says(check({"sh"})).starts_with("0: "));
    CHECK(says(check({"bin/sh"})).starts_with("0: "));
    CHECK(says(check({"/mnt/program"}, {{"mounts", files.path().string() + ":/mnt"}})).starts_with("0: "));
    for (const auto* const missing : {"shh", "/bin/shh", "/etc/passwd", "/bin"}) {
        const auto said = says(check({missing}));
        CHECK_MESSAGE((said.starts_with("2: ") && said.find("$.services.s0.rootfs: its files have no program " +
                                                            std::string(missing)) != said.npos),
                      said);
    }
    const auto program = directory.file("runtime", "#!/bin/sh\necho no\n", true);
    const auto said = says(check({"sh"}, {{"runtime", program}}));
    CHECK_MESSAGE((said.starts_with("2: ") && said.find("is no container runtime") != said.npos), said);
}

TEST_CASE("check says so when there is no directory to unpack archives in")
{
    const Place place(image().docker_archive());
    const auto said =
        run({"check", "--config", place.configuration({"image.tar"})}, {"TMPDIR=" + place.directory.path("none")});
    CHECK_MESSAGE((said.starts_with("2: ") && said.find("$.services.s0.archive: ") != said.npos &&
                   said.find("set TMPDIR to one that exists") != said.npos),
                  said);
}
