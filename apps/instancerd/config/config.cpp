// SPDX-License-Identifier: MIT
#include "config/config.hpp"

#include <algorithm>

#include "config/json.hpp"
#include "modes/modes.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

using Kind = Node::Kind;

/// Walks the tree and applies the options that it names.
class Reader {
public:
    Reader(Settings& settings, Problems& problems) : settings_(settings), problems_(problems) {}

    void read(const Node& root)
    {
        if (!expect(root, Kind::object, "write { \"services\": { ... } }"))
            return;
        const Node* services = nullptr;
        for (const auto& member : root.members()) {
            const auto option = find(member.name(), Scope::daemon);
            if (member.name() == "services")
                services = &member.value();
            else if (member.name() == "$schema")
                continue;  // It is for editors.
            else if (option)
                apply(*option, Target(settings_, nullptr), settings_.given, member.place(), member.value());
            else if (find(member.name(), Scope::any_service) || is_service_word(member.name()))
                problem(member.place(), "belongs into a service; move it into $.services.NAME");
            else
                unknown(member.place(), member.name(), names(Scope::daemon, {"services"}));
        }
        if (!services)
            problem(root.place(), "has no \"services\"; add \"services\": { \"NAME\": { \"mode\": ... } }");
        else if (expect(*services, Kind::object, "write { \"NAME\": { \"mode\": ... } }"))
            read_services(*services);
    }

private:
    /// The keys of a service that are no options.
    static inline const std::vector<std::string_view> service_words = {"mode", "command", "limits"};

    static bool is_service_word(std::string_view key)
    {
        return std::find(service_words.begin(), service_words.end(), key) != service_words.end();
    }

    /// The option that the configuration calls `key` in that scope.
    static const Option* find(std::string_view key, Scope scope)
    {
        const auto& all = options();
        const auto found = std::find_if(all.begin(), all.end(), [&](const Option& option) {
            return option.config_key() == key && includes(option.scope, scope);
        });
        return found == all.end() ? nullptr : &*found;
    }

    static std::vector<std::string_view> names(Scope scope, std::vector<std::string_view> also)
    {
        for (const auto& option : options())
            if (includes(option.scope, scope))
                also.push_back(option.config_key());
        return also;
    }

    void problem(const Place& place, std::string text) { problems_.emplace_back(place, std::move(text)); }

    void unknown(const Place& place, std::string_view key, const std::vector<std::string_view>& known)
    {
        problems_.emplace_back(place, "is unknown" + suggestion(key, known), Problem::Kind::unknown_key);
    }

    bool expect(const Node& node, Kind kind, const std::string& remedy)
    {
        if (node.kind() == kind)
            return true;
        problem(node.place(), "is " + std::string(Node::describe(node.kind())) + ", not " +
                                  std::string(Node::describe(kind)) + "; " + remedy);
        return false;
    }

    void read_services(const Node& services)
    {
        if (services.members().empty())
            problem(services.place(), "is empty; add a service, \"NAME\": { \"mode\": ... }");
        for (const auto& member : services.members()) {
            if (const auto name = parse_name(member.name()); !name)
                problem(member.place(), name.error());
            if (expect(member.value(), Kind::object, "write { \"mode\": ..., \"listen\": ... }"))
                read_service(member.name(), member.place(), member.value());
        }
    }

    void read_service(const std::string& name, const Place& place, const Node& node)
    {
        const auto mode = read_mode(place, node);
        if (!mode) {
            for (const auto& member : node.members())
                read_without_mode(member);
            return;
        }
        ServiceSettings service(name, *mode);
        service.place = place;
        for (const auto& member : node.members())
            read_member(service, member);
        settings_.services.push_back(std::move(service));
    }

    void read_member(ServiceSettings& service, const Node::Member& member)
    {
        if (member.name() == "mode")
            return;
        if (member.name() == "command")
            read_command(service, member.place(), member.value());
        else if (member.name() == "limits")
            read_limits(service, member.value());
        else
            read_option(service, member.name(), member.place(), member.value());
    }

    /// Says what is wrong with it in any mode.
    void read_without_mode(const Node::Member& member)
    {
        const auto& key = member.name();
        if (!find(key, Scope::anywhere) && !is_service_word(key) && !find_option(key))
            return unknown(member.place(), key, names(Scope::any_service, service_words));
        ServiceSettings of_some_mode({}, find(key, Scope::any_service) ? mode_with(key) : all_modes().front()->mode);
        read_member(of_some_mode, member);
    }

    std::optional<Mode> read_mode(const Place& place, const Node& node)
    {
        std::string remedy = "write ";
        for (const auto* mode : all_modes())
            remedy += (mode == all_modes().front()  ? ""
                       : mode == all_modes().back() ? ", or "
                                                    : ", ") +
                      ("\"" + std::string(mode->name) + "\" " + std::string(mode->use));
        const auto& members = node.members();
        const auto found = std::find_if(members.begin(), members.end(), [](auto& m) { return m.name() == "mode"; });
        if (found == members.end()) {
            problem(place, "has no \"mode\"; add \"mode\": \"exec\" to run processes, or \"mode\": \"docker\" to run "
                           "containers");
            return std::nullopt;
        }
        if (!expect(found->value(), Kind::string, remedy))
            return std::nullopt;
        const auto& text = found->value().text();
        for (const auto* mode : all_modes())
            if (text == mode->name)
                return mode->mode;
        problem(found->place(), in_quotes(text) + " is no mode; " + remedy);
        return std::nullopt;
    }

    void read_command(ServiceSettings& service, const Place& place, const Node& node)
    {
        service.given.emplace("command", place);
        const auto before = problems_.size();
        expect(node, Kind::array, "write [\"PROGRAM\", \"ARGUMENT\", ...]");
        for (const auto& item : node.items())
            if (expect(item, Kind::string, "put it in quotes") && without_zero(item.place(), item.text()))
                service.command.push_back(item.text());
        if (problems_.size() > before)
            service.unread.emplace("command");
    }

    void read_limits(ServiceSettings& service, const Node& node)
    {
        if (!expect(node, Kind::object, "write {\"memory\": \"64m\", ...}"))
            return;
        for (const auto& member : node.members()) {
            const auto key = "limits." + member.name();
            if (find(key, Scope::any_service)) {
                read_option(service, key, member.place(), member.value());
                continue;
            }
            std::vector<std::string_view> known;
            for (const auto candidate : names(Scope::any_service, {}))
                if (candidate.substr(0, 7) == "limits.")
                    known.push_back(candidate.substr(7));
            unknown(member.place(), member.name(), known);
        }
    }

    void read_option(ServiceSettings& service, const std::string& key, const Place& place, const Node& value)
    {
        if (const auto option = find(key, scope_of(service.mode))) {
            apply(*option, Target(settings_, &service), service.given, place, value);
            return;
        }
        if (find(key, Scope::any_service))
            problem(place, "works only in \"mode\": " + modes_with(key) + "; remove it or change the mode");
        else if (find(key, Scope::daemon))
            problem(place, "is for the whole daemon; move it to the top level");
        else if (const auto option = find_option(key); option && includes(option->scope, Scope::any_service))
            problem(place, "reads otherwise here; write " + written(*option));
        else
            unknown(place, key, names(scope_of(service.mode), service_words));
    }

    /// `"exec" or "docker"`
    static std::string modes_with(std::string_view key)
    {
        std::vector<std::string> names;
        for (const auto* mode : all_modes())
            if (find(key, scope_of(mode->mode)))
                names.push_back("\"" + std::string(mode->name) + "\"");
        return alternatives({names.begin(), names.end()});
    }

    /// The first mode that has the option.
    static Mode mode_with(std::string_view key)
    {
        for (const auto* mode : all_modes())
            if (find(key, scope_of(mode->mode)))
                return mode->mode;
        return all_modes().front()->mode;
    }

    /// How an option is written that is called otherwise on the command line.
    static std::string written(const Option& option)
    {
        const auto key = option.config_key();
        const auto dot = key.find('.');
        if (dot == key.npos)
            return "\"" + std::string(key) + "\": [ ... ]";
        return "\"" + std::string(key.substr(0, dot)) + "\": { \"" + std::string(key.substr(dot + 1)) + "\": ... }";
    }

    void apply(const Option& option, Target target, Given& given, const Place& place, const Node& value)
    {
        given.emplace(option.name, place);
        const auto before = problems_.size();
        apply_value(option, target, place, value);
        if (target.service && problems_.size() > before)
            target.service->unread.emplace(option.name);
    }

    static bool is_word(const Node& value)
    {
        return value.kind() == Kind::string && value.text() != "true" && value.text() != "false";
    }

    void apply_value(const Option& option, Target target, const Place& place, const Node& value)
    {
        switch (option.type.shape) {
        case Shape::list:
            if (value.kind() == Kind::array) {
                for (const auto& item : value.items())
                    if (expect(item, Kind::string, "put it in quotes"))
                        apply_one(option, target, item.place(), item.text());
                return;
            }
            if (expect(value, Kind::string, "write \"" + option.value() + "\" or an array of such"))
                apply_one(option, target, place, value.text());
            return;
        case Shape::map:
            if (expect(value, Kind::object, "write {\"NAME\": \"value\"}"))
                for (const auto& member : value.members())
                    apply_member(option, target, member);
            return;
        case Shape::flag:
            if (expect(value, Kind::boolean, "write true or false"))
                apply_one(option, target, place, value.text());
            return;
        case Shape::variant:
            if (is_word(value) || expect(value, Kind::boolean, "write true or false"))
                apply_one(option, target, place, value.text());
            return;
        case Shape::number:
            if (expect(value, Kind::number, "write the number without quotes"))
                apply_one(option, target, place, value.text());
            return;
        case Shape::duration:
            if (value.kind() == Kind::number && value.text().find_first_not_of("0123456789") == std::string::npos &&
                value.text() != "0")
                problem(place, "has no unit; write \"" + value.text() + "s\" for seconds");
            else if (value.kind() == Kind::number || expect(value, Kind::string, "write a duration, as in \"20s\""))
                apply_one(option, target, place, value.text());
            return;
        case Shape::size:
            if (value.kind() == Kind::number || expect(value, Kind::string, "write a size, as in \"64m\""))
                apply_one(option, target, place, value.text());
            return;
        case Shape::text:
            if (expect(value, Kind::string, "write it in quotes"))
                apply_one(option, target, place, value.text());
            return;
        }
    }

    void apply_member(const Option& option, Target target, const Node::Member& member)
    {
        if (member.name().empty() || member.name().find('=') != std::string::npos)
            problem(member.place(), "is no name; write one without =");
        else if (expect(member.value(), Kind::string, "put it in quotes"))
            apply_one(option, target, member.place(), member.name() + "=" + member.value().text());
    }

    /// No program can be given a zero character.
    bool without_zero(const Place& place, const std::string& text)
    {
        if (text.find('\0') == std::string::npos)
            return true;
        problem(place, "holds a zero character; remove \\u0000");
        return false;
    }

    void apply_one(const Option& option, Target target, const Place& place, const std::string& text)
    {
        if (without_zero(place, text))
            if (const auto done = option.type.parse(target, text); !done)
                problem(place, done.error());
    }

    Settings& settings_;
    Problems& problems_;
};

}  // namespace

Settings read_config(const std::filesystem::path& file, std::string_view text, Problems& problems)
{
    Settings settings;
    settings.file = file.string();
    settings.text = text;
    settings.base = std::filesystem::absolute(file).parent_path();
    if (const auto root = parse_json(text, problems)) {
        Reader(settings, problems).read(*root);
        for (auto& service : settings.services)
            service.complete();
    }
    return settings;
}

}  // namespace instancer::daemon
