// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel_settings.hpp"

#include <algorithm>

#include "config/json.hpp"
#include "daemon/system.hpp"
#include "files/access.hpp"
#include "files/lines.hpp"

namespace instancer::daemon {

namespace {

Parsed<std::vector<TunnelAddress>> targets_of(const std::string& text)
{
    const auto parsed = parse_addresses(text);
    if (!parsed)
        return wrong(parsed.error());
    std::vector<TunnelAddress> targets;
    for (const auto& target : *parsed) {
        asio::error_code error;
        const auto address = asio::ip::make_address_v4(target.name(), error);
        if (target.kind() != Address::Kind::tcp || error || target.port() == 0)
            return wrong("the target " + in_quotes(text) +
                         " is no IPv4 address and port, and the tunnel can name nothing else; write one as in "
                         "10.0.0.1:80");
        targets.push_back(TunnelAddress({address, target.port()}));
    }
    return targets;
}

Parsed<std::vector<TunnelRoute>> routes_of(const std::vector<std::string>& words)
{
    if (words.size() != 2)
        return wrong("is no route; write LISTEN_IP:PORT TARGET_IP:PORT, as in 0.0.0.0:8080 10.0.0.1:80");
    const auto listen = parse_addresses(words[0]);
    if (!listen)
        return wrong(listen.error());
    const auto targets = targets_of(words[1]);
    if (!targets)
        return wrong(targets.error());
    if (targets->size() != 1 && targets->size() != listen->size())
        return wrong(in_quotes(words[0]) + " has " + std::to_string(listen->size()) + " ports and " +
                     in_quotes(words[1]) + " " + std::to_string(targets->size()) +
                     "; write ranges of equal length, or one target");
    std::vector<TunnelRoute> routes;
    for (std::size_t i = 0; i < listen->size(); ++i)
        routes.emplace_back((*listen)[i], (*targets)[targets->size() == 1 ? 0 : i]);
    return routes;
}

/// Reads the original's configuration.
class ConfigReader {
public:
    explicit ConfigReader(std::string file) : file_(std::move(file)) {}

    Parsed<TunnelConfig> read(std::string_view text)
    {
        Problems problems;
        const auto root = parse_json(text, problems);
        if (!problems.empty())
            return wrong(problems.front().format(file_));
        if (root->kind() != Node::Kind::object)
            return wrong(Problem(root->place(), "is no object; write {\"controller_user\": {...}, "
                                                "\"proxy_client_whitelist\": [...]}")
                             .format(file_));
        for (const auto& member : root->members()) {
            const auto& value = member.value();
            if (member.name() == "controller_user" && value.kind() == Node::Kind::object)
                for (const auto& user : value.members())
                    add(config_.users, user.value());
            else if (member.name() == "proxy_client_whitelist" && value.kind() == Node::Kind::array)
                for (const auto& agent : value.items())
                    add(config_.agents, agent);
            else if (member.name() == "controller_user")
                fail(value.place(), "is no object; write {\"tom\": \"192.168.1.1\"}");
            else if (member.name() == "proxy_client_whitelist")
                fail(value.place(), "is no list; write [\"111.111.111.111\"]");
            else
                fail(member.place(),
                     "is unknown" + suggestion(member.name(), {"controller_user", "proxy_client_whitelist"}));
        }
        if (!error_.empty())
            return wrong(error_);
        return std::move(config_);
    }

private:
    void add(std::vector<asio::ip::address>& list, const Node& node)
    {
        asio::error_code error;
        const auto address = asio::ip::make_address(node.text(), error);
        if (node.kind() != Node::Kind::string || error)
            fail(node.place(), "is no address; write one in quotes, as in \"192.168.1.1\"");
        else
            list.push_back(address);
    }

    void fail(const Place& place, std::string text)
    {
        if (error_.empty())
            error_ = Problem(place, std::move(text)).format(file_);
    }

    const std::string file_;
    TunnelConfig config_;
    std::string error_;
};

}  // namespace

Parsed<std::vector<TunnelRoute>> parse_routes(std::string_view text)
{
    auto routes = routes_of(words_of(text));
    return routes ? std::move(routes) : wrong(in_quotes(text) + ": " + routes.error());
}

Parsed<std::vector<TunnelRoute>> parse_routing(std::string_view text, const std::string& file)
{
    std::vector<TunnelRoute> routes;
    for (const auto& line : lines_of(text, Comments::anywhere)) {
        const auto parsed = routes_of(words_of(line.text));
        if (!parsed)
            return wrong(line.problem(file, parsed.error()));
        for (const auto& route : *parsed) {
            const auto taken = std::find_if(routes.begin(), routes.end(),
                                            [&](const auto& other) { return other.listen.collides(route.listen); });
            if (taken != routes.end())
                return wrong(line.problem(file, route.listen.text() + " is taken by the route of " +
                                                    taken->listen.text() + "; choose another port or address"));
            routes.push_back(route);
        }
    }
    if (routes.empty())
        return wrong(file + ": holds no route; write one a line, as in 0.0.0.0:8080 10.0.0.1:80");
    return routes;
}

Parsed<std::vector<TunnelRoute>> load_routing(const std::string& file)
{
    const auto text = read_file(file);
    return text ? parse_routing(*text, file) : wrong(text.error());
}

Parsed<TunnelTargets> parse_targets(std::string_view text)
{
    const auto colon = text.rfind(':');
    std::optional<std::uint16_t> port;
    if (colon != text.npos) {
        const auto number = parse_count(text.substr(colon + 1), 1, 65535);
        if (!number)
            return wrong("the port of " + in_quotes(text) + ": " + number.error());
        port = static_cast<std::uint16_t>(*number);
    }
    const auto network = parse_network(text.substr(0, colon));
    if (!network)
        return wrong(network.error());
    return TunnelTargets(*network, port);
}

Parsed<TunnelConfig> parse_tunnel_config(std::string_view text, const std::string& file)
{
    return ConfigReader(file).read(text);
}

Parsed<TunnelConfig> load_tunnel_config(const std::string& file)
{
    const auto text = read_file(file);
    return text ? parse_tunnel_config(*text, file) : wrong(text.error());
}

bool TunnelFiles::admits_agent(const asio::ip::address& address) const
{
    return std::any_of(agents.begin(), agents.end(), [&](const auto& network) { return is_within(address, network); });
}

bool TunnelFiles::knows_user(const asio::ip::address& address) const
{
    return std::find(users.begin(), users.end(), address) != users.end();
}

Parsed<TunnelFiles> load_tunnel_files(const TunnelSettings& settings)
{
    TunnelFiles files;
    files.routes = settings.routes;
    files.agents = settings.agents;
    if (!settings.routing_file.empty()) {
        auto routes = load_routing(settings.routing_file);
        if (!routes)
            return wrong(routes.error());
        files.routes.insert(files.routes.end(), routes->begin(), routes->end());
    }
    if (!settings.config_file.empty()) {
        auto config = load_tunnel_config(settings.config_file);
        if (!config)
            return wrong(config.error());
        files.users = std::move(config->users);
        for (const auto& address : config->agents)
            files.agents.emplace_back(Network(address));
    }
    return files;
}

}  // namespace instancer::daemon
