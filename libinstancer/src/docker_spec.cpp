// SPDX-License-Identifier: MIT
#include "docker_spec.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <random>
#include <span>

#include <instancer/backend/docker_exposure.hpp>
#include <instancer/detail/crypto/sha256.hpp>
#include <instancer/detail/process/client_environment.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/text/hex.hpp>
#include <instancer/text/split.hpp>

#include "container_paths.hpp"
#include "docker_frames.hpp"
#include "docker_json.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

namespace {

/// Docker's own rule for the first character of a name; dots separate the parts of ours.
bool valid_name(std::string_view name)
{
    const auto alphanumeric = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !name.empty() && alphanumeric(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return alphanumeric(c) || c == '_' || c == '-'; });
}

std::string random_digits()
{
    static constexpr char digits[] = "0123456789abcdef";
    std::random_device source;
    auto value = source();
    std::string out(8, '0');
    for (auto& digit : out) {
        digit = digits[value & 15];
        value >>= 4;
    }
    return out;
}

std::string prefix(std::string_view daemon, std::string_view service)
{
    return std::string(daemon) + "." + std::string(service) + ".";
}

std::optional<std::chrono::seconds> seconds_of(std::string_view digits)
{
    std::chrono::seconds::rep count = 0;
    const auto end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, count);
    return error == std::errc() && rest == end ? std::optional(std::chrono::seconds(count)) : std::nullopt;
}

std::string tmpfs_options(std::uint64_t size)
{
    return "nosuid,nodev,noexec,mode=1777" + (size ? ",size=" + std::to_string(size) : std::string());
}

/// Makes `user` the owner of a tmpfs, where it is given in numbers. It matters because the runtime gives a tmpfs the
/// mode of the directory that it covers.
std::string owner_options(std::string_view user)
{
    const auto numeric = [](std::string_view text) {
        return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
    };
    const auto colon = user.find(':');
    const auto uid = user.substr(0, colon);
    if (!numeric(uid))
        return {};
    const auto gid = colon == user.npos ? std::string_view() : user.substr(colon + 1);
    return ",uid=" + std::string(uid) + (numeric(gid) ? ",gid=" + std::string(gid) : std::string());
}

std::vector<std::string> keys(const json& object)
{
    std::vector<std::string> out;
    if (object.is_object())
        for (const auto& [key, value] : object.items())
            out.push_back(key);
    return out;
}

json ulimit(const char* name, std::uint64_t value) { return {{"Name", name}, {"Soft", value}, {"Hard", value}}; }

void set_privileges(json& host, const ContainerPrivileges& privileges)
{
    host["SecurityOpt"] = json::array();
    if (!privileges.setuid)
        host["SecurityOpt"].push_back("no-new-privileges:true");
    if (privileges.seccomp)
        host["SecurityOpt"].push_back("seccomp=" + (privileges.seccomp->empty() ? "unconfined" : *privileges.seccomp));
    if (!privileges.capabilities.empty())
        host["CapAdd"] = privileges.capabilities;
    for (const auto group : privileges.groups)
        host["GroupAdd"].push_back(std::to_string(group));
    for (const auto& path : privileges.devices)
        host["Devices"].push_back({{"PathOnHost", path}, {"PathInContainer", path}, {"CgroupPermissions", "rw"}});
}

/// Fills in the placeholders of the program's arguments and environment.
void fill_in(json& spec, const InstanceRequest& request)
{
    const auto port = listen_port_of(request);
    if (!port)
        return;
    for (const auto* key : {"Cmd", "Env"})
        if (spec.contains(key))
            for (auto& text : spec[key])
                text = replaced(text.get<std::string>(), listen_port_placeholder, std::to_string(*port));
}

}  // namespace

ImageFacts::ImageFacts(const json& image) : id(text_at(image, "Id"))
{
    const auto config = object_at(image, "Config");
    user = text_at(config, "User");
    if (const auto signal = text_at(config, "StopSignal"); !signal.empty())
        stop_signal = signal;
    ports = keys(object_at(config, "ExposedPorts"));
    volumes = keys(object_at(config, "Volumes"));
}

std::string ImageFacts::describe_ports() const
{
    if (ports.empty())
        return "the image exposes no port";
    std::string out = "the image exposes";
    for (const auto& port : ports)
        out += " " + port;
    return out;
}

ContainerName::ContainerName(std::string_view daemon, std::string_view service)
    : text_(prefix(daemon, service) + "warm." + random_digits())
{
}

ContainerName::ContainerName(std::string_view daemon, std::string_view service, const Identity& identity,
                             Seconds claimed, Seconds extended)
    : text_(prefix(daemon, service) + (identity.returning() ? "returning." : "unique.") + identity.owner().hex() + "." +
            identity.id().hex() + "." + std::to_string(claimed.count()) +
            (extended.count() == 0 ? "" : "-" + std::to_string(extended.count())) + "." + random_digits()),
      identity_(identity),
      claimed_(claimed),
      extended_(extended)
{
}

std::optional<ContainerName> ContainerName::parse(std::string_view text, std::string_view daemon,
                                                  std::string_view service)
{
    const auto expected = prefix(daemon, service);
    if (!text.starts_with(expected))
        return {};
    ContainerName name;
    name.text_ = text;
    const auto parts = split(text.substr(expected.size()), '.');
    if (parts.size() == 2 && parts[0] == "warm")
        return name;
    Digest owner, id;
    if (parts.size() != 5 || (parts[0] != "returning" && parts[0] != "unique") || !Digest::parse(parts[1], owner) ||
        !Digest::parse(parts[2], id))
        return {};
    const auto times = split(parts[3], '-');
    const auto claimed = seconds_of(times[0]), extended = seconds_of(times.size() == 2 ? times[1] : "0");
    if (times.size() > 2 || !claimed || !extended)
        return {};
    name.identity_ = Identity(owner, id, parts[0] == "returning");
    name.claimed_ = *claimed;
    name.extended_ = *extended;
    return name;
}

Result<void> check(const DockerOptions& options, std::string_view service)
{
    const auto bad = [](std::string text) { return fail(Errc::bad_request, std::move(text)); };
    for (const auto name : {std::string_view(options.daemon), service})
        if (!valid_name(name))
            return bad("'" + std::string(name) +
                       "': a name is made of letters, digits, '_' and '-', and begins with "
                       "a letter or digit");
    if (!options.engine.starts_with("unix:///"))
        return bad("'" + options.engine + "': the Docker engine is reached over a Unix socket only, unix:///path");
    if (options.image.empty())
        return bad("no image is named");
    if (options.pty && options.io == DockerIo::port)
        return bad("a terminal needs standard streams (stdio) instead of a port");
    for (const auto& mount : options.mounts)
        if (exposes_engine(options, mount.source))
            return bad("mount '" + mount.source +
                       "': it holds the Docker engine's socket, which gives an instance "
                       "the whole host; mount something smaller");
    return check_paths(options.mounts, options.tmpfs, options.secret);
}

Result<std::uint16_t> service_port(const DockerOptions& options, const ImageFacts& image)
{
    if (options.port != 0)
        return options.port;
    std::vector<std::uint16_t> found;
    for (const std::string_view port : image.ports) {
        std::uint16_t number = 0;
        const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
        if (read.ec == std::errc() && number != 0 && std::string_view(read.ptr) == "/tcp")
            found.push_back(number);
    }
    if (found.size() == 1)
        return found.front();
    return fail(Errc::bad_request, "image '" + options.image + "': " + image.describe_ports() +
                                       ", and just one TCP port is needed; say which with --port N, or use --stdio");
}

std::string container_user(const DockerOptions& options, const ImageFacts& image)
{
    if (!options.user.empty())
        return options.user;
    const auto name = image.user.substr(0, image.user.find(':'));
    const bool root = name == "root" || name.find_first_not_of("+0") == name.npos;
    return root ? "65534:65534" : std::string();
}

json container_spec(const DockerOptions& options, const ImageFacts& image, std::uint16_t port)
{
    const auto& limits = options.limits;
    const bool stdio = options.io == DockerIo::stdio;

    const auto user = container_user(options, image);
    const auto owner = owner_options(user.empty() ? image.user : user);
    json tmpfs = {{"/tmp", "rw," + tmpfs_options(limits.tmp) + owner}};
    for (const auto& extra : options.tmpfs)
        tmpfs[extra.target] = "rw," + tmpfs_options(extra.size) + owner;
    if (const auto directory = secret_directory(options.secret); !directory.empty() && !tmpfs.contains(directory))
        tmpfs[directory] = "rw,nosuid,nodev,noexec,mode=0755,uid=0,gid=0,size=64k";

    json mounts = json::array();
    for (const auto& mount : options.mounts)
        mounts.push_back(
            // Not recursive: read-only would not hold for what is mounted below.
            {{"Type", "bind"},
             {"Source", mount.source},
             {"Target", mount.target},
             {"ReadOnly", true},
             {"BindOptions", {{"NonRecursive", true}}}});
    // A volume that the image declares would be on the host's disk, without a limit; so it is in memory.
    for (const auto& path : image.volumes) {
        const auto taken = [&](const auto& mount) { return mount.target == path; };
        if (tmpfs.contains(path) || std::ranges::any_of(options.mounts, taken))
            continue;
        json volume = {{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", tmpfs_options(limits.tmp)}};
        json driver = {{"Name", "local"}, {"Options", std::move(volume)}};
        mounts.push_back(
            {{"Type", "volume"}, {"Target", path}, {"VolumeOptions", {{"DriverConfig", std::move(driver)}}}});
    }

    auto ulimits = json::array();
    ulimits.push_back(ulimit("core", limits.core));
    if (limits.nofile)
        ulimits.push_back(ulimit("nofile", limits.nofile));

    json log = {{"Type", "none"}, {"Config", json::object()}};
    if (!stdio) {
        log = {{"Type", "local"}, {"Config", {{"max-file", "1"}, {"compress", "false"}}}};
        if (limits.log)
            log["Config"]["max-size"] = std::to_string(limits.log);
    }

    json host = {
        {"NetworkMode", "none"},
        {"ReadonlyRootfs", options.read_only},
        {"CapDrop", {"ALL"}},
        {"Init", true},
        {"IpcMode", "private"},
        {"Tmpfs", tmpfs},
        {"Mounts", mounts},
        {"Ulimits", ulimits},
        {"LogConfig", log},
        {"Memory", limits.memory},
        {"MemorySwap", limits.memory},
        {"NanoCpus", static_cast<std::int64_t>(limits.cpus * 1e9)},
        {"PidsLimit", limits.pids},
    };
    if (!options.runtime.empty())
        host["Runtime"] = options.runtime;
    set_privileges(host, options.privileges);

    json env = json::array();
    for (const auto& [name, value] : options.env)
        env.push_back(name + "=" + value);

    json spec = {
        {"Image", image.id},
        {"Env", env},
        {"Healthcheck", {{"Test", {"NONE"}}}},
        {"HostConfig", host},
        {"OpenStdin", stdio},
        {"StdinOnce", stdio},
        {"AttachStdin", stdio},
        {"AttachStdout", stdio},
        {"AttachStderr", stdio},
        {"Tty", stdio && options.pty},
    };
    if (!stdio)
        spec["ExposedPorts"][std::to_string(port) + "/tcp"] = json::object();
    if (!options.command.empty())
        spec["Cmd"] = options.command;
    if (!user.empty())
        spec["User"] = user;
    return spec;
}

json instance_spec(const json& common, const DockerOptions& options, const InstanceRequest& request,
                   const std::string& secret)
{
    auto spec = common;
    for (const auto& [name, value] : client_environment(request, options.client_env))
        spec["Env"].push_back(name + "=" + value);
    fill_in(spec, request);
    for (const auto& [name, value] : request.environment())
        spec["Env"].push_back(name + "=" + value);
    if (options.secret.is_for(request) && !options.secret.has_file())
        spec["Env"].push_back(options.secret.variable + "=" + secret);
    return spec;
}

json container_labels(const DockerOptions& options, std::string_view service, std::string_view config)
{
    return {
        {label_daemon, options.daemon},
        {label_service, service},
        {label_started, std::to_string(unix_time().count())},
        {label_config, config},
    };
}

std::chrono::seconds unix_time()
{
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
}

std::string config_hash(const json& spec, const ImageFacts& image, const std::string& secret_version)
{
    Sha256 hash;
    hash.update_sized(spec.dump());
    hash.update_sized(image.id);
    if (!secret_version.empty())
        hash.update_sized(secret_version);
    return to_hex(hash.finish()).substr(0, 16);
}

std::string container_removal(const std::string& container) { return "/containers/" + container + "?force=1&v=1"; }

std::string unframed(std::string_view frames)
{
    std::string out;
    FrameDecoder().feed(std::as_bytes(std::span(frames)), [&](bool, std::span<const std::byte> piece) {
        out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    });
    return out;
}

}  // namespace instancer::detail::inline docker
