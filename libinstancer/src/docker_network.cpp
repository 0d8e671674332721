// SPDX-License-Identifier: MIT
#include "docker_network.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <instancer/identity.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>

#include "docker_json.hpp"
#include "docker_spec.hpp"

extern char** environ;

namespace instancer::detail::inline docker {

using asio::ip::address_v4;
using asio::ip::network_v4;
using nlohmann::json;

namespace {

UniqueFd own_network_namespace() { return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

/// What this host already has a route to; guessing a subnet must not hide any of it.
std::vector<network_v4> routed_networks()
{
    std::vector<network_v4> out;
    std::ifstream routes("/proc/net/route");
    std::string line;
    std::getline(routes, line);
    while (std::getline(routes, line)) {
        std::istringstream fields(line);
        std::string interface, destination, skipped, mask;
        fields >> interface >> destination;
        for (int i = 0; i < 5; ++i)
            fields >> skipped;
        fields >> mask;
        const auto address = [](const std::string& hex) {
            return address_v4(ntohl(static_cast<std::uint32_t>(std::stoul(hex, nullptr, 16))));
        };
        if (mask != "00000000" && !mask.empty())
            out.emplace_back(address(destination), address(mask));
    }
    return out;
}

bool overlap(const network_v4& a, const network_v4& b)
{
    const auto mask = a.prefix_length() < b.prefix_length() ? a.netmask() : b.netmask();
    return (a.address().to_uint() & mask.to_uint()) == (b.address().to_uint() & mask.to_uint());
}

/// Runs a program and returns what it wrote to its standard error; empty when it succeeded.
std::string run(const std::vector<std::string>& words)
{
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (const auto& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);

    auto pipe = make_pipe();
    if (!pipe)
        return pipe.error().message();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe->writer.get(), 2);
    pid_t child = 0;
    const int error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return words[0] + ": " + system_error(error).message();

    pipe->writer.reset();
    std::string output;
    std::array<char, 1024> buffer;
    for (;;) {
        const auto count = ::read(pipe->reader.get(), buffer.data(), buffer.size());
        if (count > 0)
            output.append(buffer.data(), static_cast<std::size_t>(count));
        else if (count == 0 || errno != EINTR)
            break;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return {};
    return output.empty() ? words[0] + " failed" : output.substr(0, output.find('\n'));
}

/// The same for each run, so that what a crash left can be found; short enough for an interface.
std::string bridge_name(std::string_view daemon, std::string_view service)
{
    return "ins" + Identity(daemon, service, {}).id().hex().substr(0, 8);
}

}  // namespace

Result<UniqueFd> socket_inside(int network_namespace, int family)
{
    static thread_local const UniqueFd home = own_network_namespace();
    if (::setns(network_namespace, CLONE_NEWNET) != 0)
        return fail(last_error(), "setns");
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto error = last_error();
    ::setns(home.get(), CLONE_NEWNET);
    if (!fd)
        return fail(error, "socket");
    return fd;
}

bool may_enter_namespaces()
{
    const auto own = own_network_namespace();
    return own && ::setns(own.get(), CLONE_NEWNET) == 0;
}

DockerNetwork::DockerNetwork(DockerEngine& engine, std::string daemon, std::string service)
    : engine_(engine),
      daemon_(std::move(daemon)),
      service_(std::move(service)),
      name_(daemon_ + "." + service_),
      bridge_(bridge_name(daemon_, service_))
{
}

Result<void> DockerNetwork::ensure(bool egress)
{
    const std::lock_guard lock(mutex_);
    auto adopted = adopt(egress);
    if (!adopted)
        return fail(std::move(adopted.error()));
    if (!*adopted)
        if (auto created = create(egress); !created)
            return created;
    firewall_problem_.clear();
    if (!firewall("-C").empty())
        firewall_problem_ = firewall("-I");
    return {};
}

bool DockerNetwork::restore_firewall()
{
    const std::lock_guard lock(mutex_);
    // Where it could not be had, that has been said.
    if (!firewall_problem_.empty() || !has_subnet() || firewall("-C").empty())
        return false;
    firewall_problem_ = firewall("-I");
    return true;
}

std::string DockerNetwork::firewall_problem() const
{
    const std::lock_guard lock(mutex_);
    return firewall_problem_;
}

/// False when there is no usable network of ours.
Result<bool> DockerNetwork::adopt(bool egress)
{
    const auto reply = engine_.call("GET", "/networks/" + name_);
    if (!reply)
        return fail(reply.error());
    if (!reply->ok())
        return false;
    const auto network = reply->json();
    const auto labels = object_at(network, "Labels");
    if (text_at(labels, label_daemon) != daemon_ || text_at(labels, label_service) != service_)
        return fail(Errc::bad_request, "the Docker network '" + name_ +
                                           "' exists and is not ours; remove it, or "
                                           "give this daemon another name");
    const auto configs = value_at(object_at(network, "IPAM"), "Config", std::vector<json>());
    if (value_at(network, "Internal", false) == !egress && configs.size() == 1) {
        asio::error_code error;
        const auto subnet = asio::ip::make_network_v4(text_at(configs[0], "Subnet"), error);
        if (!error) {
            set_subnet(subnet);
            return true;
        }
    }
    const auto removed = engine_.call("DELETE", "/networks/" + name_);
    if (!removed)
        return fail(removed.error());
    if (!removed->ok())
        return fail(Errc::start_failed, "the network '" + name_ + "' has other settings: " + removed->message());
    return false;
}

Result<void> DockerNetwork::create(bool egress)
{
    // 4094 addresses; of a range that few use, because nobody remembers it.
    constexpr std::uint32_t first = 10u << 24 | 128u << 16, count = 512, size = 1u << 12;
    const auto routed = routed_networks();
    std::string refusal = "every candidate is in use";
    int attempts = 0;
    for (std::uint32_t i = 0; i < count && attempts < 32; ++i) {
        const network_v4 subnet(address_v4(first + i * size), 20);
        if (std::ranges::any_of(routed, [&](const auto& other) { return overlap(subnet, other); }))
            continue;
        ++attempts;
        const json request = {
            {"Name", name_},
            {"CheckDuplicate", true},
            {"Driver", "bridge"},
            {"Internal", !egress},
            {"EnableIPv6", false},
            {"IPAM", {{"Config", json::array({{{"Subnet", subnet.to_string()}}})}}},
            {"Options",
             {{"com.docker.network.bridge.enable_icc", "false"}, {"com.docker.network.bridge.name", bridge_}}},
            {"Labels", {{label_daemon, daemon_}, {label_service, service_}}},
        };
        const auto reply = engine_.call("POST", "/networks/create", request.dump());
        if (!reply)
            return fail(reply.error());
        if (reply->ok()) {
            set_subnet(subnet);
            return {};
        }
        refusal = reply->message();
    }
    return fail(Errc::start_failed, "no Docker network could be made: " + refusal);
}

void DockerNetwork::set_subnet(const network_v4& subnet)
{
    const std::lock_guard lock(addresses_mutex_);
    if (subnet_ == subnet)
        return;
    subnet_ = subnet;
    free_.clear();
    // The first address is the gateway's. Where to begin is left to chance, so that a restart does not hand out the
    // addresses again that were in use just before it.
    const auto base = subnet.network().to_uint();
    const auto count = (std::uint32_t{1} << (32 - subnet.prefix_length())) - 3;
    const auto start = std::random_device()() % count;
    for (std::uint32_t i = 0; i < count; ++i)
        free_.emplace_back(address_v4(base + 2 + (start + i) % count), Clock::time_point::min());
}

bool DockerNetwork::has_subnet() const
{
    const std::lock_guard lock(addresses_mutex_);
    return subnet_.has_value();
}

Result<DockerNetwork::Address> DockerNetwork::take_address(Clock::time_point now)
{
    const std::lock_guard lock(addresses_mutex_);
    if (free_.empty() || free_.front().usable_from > now)
        return fail(Errc::backend_unavailable, "no address is free in the network '" + name_ + "'");
    const auto address = free_.front().address;
    free_.pop_front();
    return address;
}

void DockerNetwork::take_address(const Address& address)
{
    const std::lock_guard lock(addresses_mutex_);
    std::erase_if(free_, [&](const Free& free) { return free.address == address; });
}

void DockerNetwork::return_address(const Address& address, Clock::time_point now)
{
    const std::lock_guard lock(addresses_mutex_);
    if (subnet_ && overlap(*subnet_, network_v4(address, 32)))
        free_.emplace_back(address, now + quarantine);
}

void DockerNetwork::remove()
{
    const std::lock_guard lock(mutex_);
    const auto reply = engine_.call("GET", "/networks/" + name_);
    if (!reply || !reply->ok() || text_at(object_at(reply->json(), "Labels"), label_daemon) != daemon_)
        return;
    if (const auto removed = engine_.call("DELETE", "/networks/" + name_); removed && removed->ok()) {
        firewall("-D");
        const std::lock_guard addresses_lock(addresses_mutex_);
        subnet_.reset();
        free_.clear();
    }
}

/// Whatever comes from an instance to this host, and is no answer, goes nowhere.
std::string DockerNetwork::firewall(const char* action) const
{
    return run({"iptables", "-w", "10", action, "INPUT", "-i", bridge_, "-m", "conntrack", "!", "--ctstate",
                "ESTABLISHED,RELATED", "-m", "comment", "--comment", "instancer " + name_, "-j", "DROP"});
}

}  // namespace instancer::detail::inline docker
