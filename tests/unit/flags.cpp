// SPDX-License-Identifier: MIT
// Flags from the settings to the log, and back from a flag to its owner.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/hmac.hpp>

#include "config/command_line.hpp"
#include "config_problems.hpp"
#include "flags/flag_issuer.hpp"
#include "flags/flag_log.hpp"
#include "flags/flag_search.hpp"
#include "flags/flags.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;
using config_test::complaint;
using daemon_test::TemporaryDirectory;

namespace {

using Words = std::vector<std::string>;

/// Files that only their owner can read.
class Files : public TemporaryDirectory {
public:
    std::string secret(const std::string& name, const std::string& content) const
    {
        const auto path = file(name, content);
        ::chmod(path.c_str(), 0600);
        return path;
    }

    std::string content(const std::string& name) const
    {
        std::ifstream in(path(name));
        return {std::istreambuf_iterator<char>(in), {}};
    }

    const std::string key_text = std::string(32, 'k');
    const std::string key = secret("key", key_text + "\n");
    const std::string tokens = secret("tokens", "red\nblue\n");
};

bool says(const Words& arguments, const std::string& part) { return test_text::holds(complaint(arguments), part); }

Words exec(const Words& options)
{
    Words words = {"exec", "--listen", ":1"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/bin/cat"});
    return words;
}

Words docker(const Words& options)
{
    Words words = {"docker", "--engine", "unix:///run/docker.sock", "--listen", ":1", "--image", "i"};
    words.insert(words.end(), options.begin(), options.end());
    return words;
}

Settings settings_of(const Words& arguments)
{
    REQUIRE(complaint(arguments) == "");
    return parse_command_line(arguments).settings;
}

InstanceRequest request_of(const std::string& owner)
{
    InstanceRequest request("exec", Identity("exec", owner, "1"), ClientInfo());
    request.label("Team\tRed");
    return request;
}

}  // namespace

TEST_CASE("flags: settings that cannot work are refused with their remedy")
{
    const Files files;
    const auto open_key = files.file("open", files.key_text);
    ::chmod(open_key.c_str(), 0644);
    says(exec({"--flag", "F{hmac}"}),
         "--flag: {hmac} needs a key; make one with openssl rand -hex 32 and add --flag-key FILE");
    says(exec({"--flag", "F{hmac:0}", "--flag-key", files.key}), "--flag: {hmac:0}: give it a number of digits");
    says(exec({"--flag", "a\nb"}), "--flag: a flag is one line of text");
    says(exec({"--flag", "F", "--flag-key", files.key}), "--flag-key: is never used; write {hmac:32}");
    says(exec({"--flag", "F{hmac}", "--flag-key", open_key}), "and make every flag; chmod 0600 it");
    says(exec({"--flag", "F{hmac}", "--flag-key", files.secret("short", "k")}), "holds a key of 1 bytes");
    says(exec({"--flag", "F{hmac}", "--flag-key", files.secret("hex", "hex:0g")}), "no pairs of hexadecimal digits");
    says(exec({"--flag", "F{hmac}", "--flag-key", files.path("none")}), "cannot read " + files.path("none"));
    says(exec({"--flag-key", files.key}), "--flag-key: needs --flag TEMPLATE");
    says(exec({"--flag", "F{random:8}"}), "nobody could ever tell whose a flag with {random} is; add --flag-log FILE");
    says(exec({"--flag", "F", "--flag-mode", "0400"}), "--flag-mode: needs --flag-file PATH");
    says(exec({"--flag", "F", "--env", "FLAG=x"}), "--env: FLAG is set for each instance already");
    says(exec({"--flag", "F", "--flag-log", files.path("no/log")}), "--flag-log: there is no directory");
    says(exec({"--flag", "F", "--flag-log", open_key}), "can read " + open_key + ", and in it every flag");
    says(exec({"--flag", "F{hmac}", "--flag-key", files.key, "--flag-log", files.path("./") + "key"}),
         "--flag-log: is the file of --flag-key, which flags would be added to; name another file");
}

TEST_CASE("flags: a warm instance can get its flag in a file only")
{
    const Files files;
    says(exec({"--flag", "F", "--warm", "1"}), "add --flag-file {dir}/flag");
    says(docker({"--flag", "F", "--warm", "1"}), "add --flag-file /run/flag/flag");
    CHECK(complaint(exec({"--flag", "F", "--warm", "1", "--flag-file", "{dir}/flag"})) == "");
}

TEST_CASE("flags: a file needs a place where it can be written")
{
    const Files files;
    says(exec({"--flag", "F", "--flag-file", "/flag"}), "there is no place for it; write --flag-file {dir}/flag");
    says(exec({"--flag", "F", "--flag-file", "{dir}/a/flag"}), "there is no directory a in an empty {dir}");
    says(exec({"--flag", "F", "--flag-file", "{dir}/a/flag", "--dir-template", files.path(), "--workdir", "{dir}"}),
         "there is no directory a in " + files.path());
    says(docker({"--flag", "F", "--flag-file", "/flag"}), "has no directory that can become one in memory");
    says(docker({"--flag", "F", "--flag-file", "{dir}/flag"}), "has no directory that can become one in memory");
    says(docker({"--flag", "F", "--flag-file", "/run/flag/"}), "is no path of a file");
    says(docker({"--flag", "F", "--flag-file", "run/flag"}), "is no path of a file");
    for (const auto* path : {"/run/../etc/flag", "/run/flag/..", "/run/./flag"})
        says(docker({"--flag", "F", "--flag-file", path}), "'" + std::string(path) + "' has . or .. in it");
    says(exec({"--flag", "F", "--flag-file", "{dir}/../flag"}), "'{dir}/../flag' has . or .. in it");
    says(docker({"--flag", "F", "--flag-file", "/f/flag", "--mount", files.path() + ":/f/"}),
         "/f is a mount of " + files.path() + ", which is read-only");
    says(docker({"--flag", "F", "--flag-file", "/f/flag", "--runtime", "runsc"}), "--runtime runsc keeps to itself");
    says(docker({"--flag", "F", "--flag-file", "/f/flag", "--flag-owner", "me"}), "is no user by number");
}

TEST_CASE("flags: what is dangerous is warned of")
{
    const Files files;
    const auto warned = [](const Words& arguments, const std::string& part) {
        const auto settings = settings_of(arguments);
        for (const auto& warning : warn_of_flags(settings, settings.services.front()))
            if (warning.find(part) != warning.npos)
                return true;
        return false;
    };
    CHECK(warned(exec({"--flag", "F"}), "is the same for everybody"));
    CHECK(warned(exec({"--flag", "F{owner}"}), "is made of the owner's hash alone"));
    for (const auto& [digits, are_few] : {std::pair("15", true), std::pair("16", false)}) {
        const auto text = "F{random:" + std::string(digits) + "}";
        CHECK(warned(exec({"--flag", text, "--flag-log", files.path("log")}), "have so few digits") == are_few);
    }
    CHECK(warned(exec({"--flag", "F"}), "its instances share a user, so that each can read the flags of all"));
    CHECK(warned(exec({"--flag", "F"}), "add --flag-log FILE"));
    CHECK(warned(docker({"--flag", "F"}), "whoever may inspect the Docker engine's containers sees each flag"));
    if (::geteuid() == 0)
        CHECK_FALSE(warned(docker({"--flag", "F", "--flag-file", "/run/flag/flag"}), "inspect"));
}

TEST_CASE("flags: an instance's flag is what a platform calculates, and is logged for this user alone")
{
    const Files files;
    const auto settings = settings_of(exec({"--flag", "FLAG{{hmac:32}}", "--flag-key", files.key, "--flag-log",
                                            files.path("log"), "--auth", "prompt", "--tokens", files.tokens}));
    const auto secret = make_flag_secret(settings.services.front());
    const auto request = request_of("red");
    const auto flag = secret.make(request);
    REQUIRE(flag);
    const auto owner = request.identity()->owner().hex();
    CHECK(*flag == "FLAG{" + hmac_sha256(files.key_text, "exec\n" + owner).substr(0, 32) + "}");

    const auto line = files.content("log");
    CHECK(line.ends_with("\texec\t" + owner + "\t" + request.identity()->id().hex() + "\tTeam\\tRed\t" + *flag + "\n"));
    struct stat status {};
    REQUIRE(::stat(files.path("log").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    // A log that was moved away is begun anew.
    REQUIRE(::rename(files.path("log").c_str(), files.path("log.1").c_str()) == 0);
    CHECK(secret.make(request));
    CHECK(files.content("log").size() == line.size());
}

TEST_CASE("flags: one that cannot be logged is not handed over")
{
    const Files files;
    auto service = settings_of(exec({"--flag", "F{random:8}", "--flag-log", files.path("log")})).services.front();
    service.flags.log = "/dev/full";
    const auto flag = make_flag_secret(service).make(request_of("red"));
    REQUIRE_FALSE(flag);
    CHECK(flag.error().message().find("cannot be written to /dev/full: No space left") != std::string::npos);
}

TEST_CASE("flags: why one cannot be logged is said as the system says it")
{
    // No file can be made there, and none is there: two different reasons.
    const std::string log = "/sys/flags.log";
    REQUIRE(::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0);
    const std::string reason = std::strerror(errno);
    const auto logged = log_flag(log, IssuedFlag());
    REQUIRE_FALSE(logged);
    CHECK(logged.error().find("cannot be written to " + log + ": " + reason) != std::string::npos);
}

TEST_CASE("flags: what a full disk has cut off in the log takes no later flag with it")
{
    const Files files;
    const auto settings = settings_of(exec({"--flag", "F{random:16}", "--flag-log", files.path("log")}));
    const auto secret = make_flag_secret(settings.services.front());
    files.secret("log", "2026-11-30T08:15:00Z\texec\t0123");
    const auto first = secret.make(request_of("red")), second = secret.make(request_of("blue"));
    REQUIRE(first);
    REQUIRE(second);
    std::istringstream in(*first + "\n" + *second + "\n");
    std::ostringstream out;
    CHECK(FlagSearch::load(settings)->answer(in, out));
    CHECK(out.str().find("nobody") == std::string::npos);
}

TEST_CASE("flags: a key is what stands on its line, or what hexadecimal digits mean")
{
    const Files files;
    CHECK(load_flag_key(files.secret("crlf", files.key_text + "\r\n")) == files.key_text);
    CHECK(load_flag_key(files.secret("spaces", " " + files.key_text + " \n")) == " " + files.key_text + " ");
    std::string digits = "hex:";
    for (int i = 0; i < 32; ++i)
        digits += "6b";
    CHECK(load_flag_key(files.secret("digits", digits)) == files.key_text);
}

TEST_CASE("flags: containers that were left are not taken over when flags are made in another way")
{
    const Files files;
    const auto version = [&](const Words& options) {
        auto words = exec(options);
        return make_flag_secret(settings_of(words).services.front()).version;
    };
    const auto other = files.secret("other", std::string(32, 'o'));
    const auto usual = version({"--flag", "F{hmac}", "--flag-key", files.key});
    CHECK(usual == version({"--flag", "F{hmac}", "--flag-key", files.key}));
    CHECK(usual != version({"--flag", "G{hmac}", "--flag-key", files.key}));
    CHECK(usual != version({"--flag", "F{hmac}", "--flag-key", other}));
    CHECK(usual != version({"--flag", "F{hmac}", "--flag-key", files.key, "--flag-scope", "instance"}));
}

TEST_CASE("flag search: listed owners are found without a log, others by it")
{
    const Files files;
    const auto settings = settings_of(exec({"--flag", "F{{hmac:16}}", "--flag-key", files.key, "--flag-log",
                                            files.path("log"), "--auth", "prompt", "--tokens", files.tokens}));
    const auto secret = make_flag_secret(settings.services.front());
    const auto red = *FlagIssuer::load(settings.services.front());
    const auto listed = red.flag_of(Identity("exec", "blue", {}));
    const auto gone = *secret.make(request_of("green"));

    const auto search = FlagSearch::load(settings);
    REQUIRE(search);
    std::istringstream in(listed + "\r\n\n  \n" + gone + "\nF{guess}\n");
    std::ostringstream out;
    CHECK_FALSE(search->answer(in, out));
    CHECK(out.str() == listed + "\texec\t" + Identity("exec", "blue", {}).owner().hex() + "\t\n" + gone + "\texec\t" +
                           Identity("exec", "green", {}).owner().hex() + "\tTeam\\tRed\nF{guess}\tnobody's\n");
    std::istringstream known(listed);
    CHECK(search->answer(known, out));
}

TEST_CASE(
    "flags: the log and the search name an owner as the list of tokens does, the search also where the log did not")
{
    const Files files;
    const auto named = files.secret("named", "red\tTeam Red\nblue\tTeam Blue\n");
    const Words words = exec({"--flag", "F{random:16}", "--flag-log", files.path("log"), "--auth", "prompt"});
    const auto issue = [&](const std::string& tokens, const std::string& owner) {
        auto with_list = words;
        with_list.insert(with_list.begin() + 1, {"--tokens", tokens});
        const InstanceRequest request("exec", Identity("exec", owner, "1"), ClientInfo());
        return *make_flag_secret(settings_of(with_list).services.front()).make(request);
    };
    const auto red = issue(named, "red");
    CHECK(test_text::holds(files.content("log"), "\tTeam Red\t" + red));
    const auto blue = issue(files.tokens, "blue");
    CHECK(test_text::holds(files.content("log"), "\t\t" + blue));

    auto with_list = words;
    with_list.insert(with_list.begin() + 1, {"--tokens", named});
    std::istringstream in(red + "\n" + blue);
    std::ostringstream out;
    CHECK(FlagSearch::load(settings_of(with_list)).value().answer(in, out));
    CHECK(test_text::holds(out.str(), "\tTeam Red\n"));
    CHECK(test_text::holds(out.str(), "\tTeam Blue\n"));
}

TEST_CASE("flag search: without flags there is nothing to search")
{
    const auto search = FlagSearch::load(settings_of(exec({})));
    REQUIRE_FALSE(search);
    CHECK(search.error() == "no service has flags; add --flag FLAG{{hmac:32}} to one");
}

TEST_CASE("flag check is a command, and asks for what it needs")
{
    const Files files;
    const auto config = files.file("c.json", R"({"services": {}})");
    CHECK(parse_command_line({"flag", "check", "--config", config}).kind == Command::Kind::find_flags);
    CHECK(parse_command_line({"flag", "check"}).text == "which configuration? Add --config FILE");
    CHECK(parse_command_line({"flag"}).text == "what about flags? Write instancerd flag check");
    CHECK(parse_command_line({"check", "--strict", "--config", config}).strict);
    CHECK(parse_command_line({"run", "--strict", "--config", config}).kind == Command::Kind::misuse);
}
