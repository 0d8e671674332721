// SPDX-License-Identifier: MIT
#include "ctl/ctl.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <limits>
#include <string_view>
#include <utility>

#include "ctl/ctl_client.hpp"
#include "ctl/ctl_table.hpp"

namespace instancer::daemon {

namespace {

/// Exit codes.
enum Exit { done = 0, failed = 1, misused = 2, no_such = 3, no_daemon = 4, refused = 5 };

/// What follows the command's word.
enum class About { nothing, thing, service, service_and_name };

/// One command.
class CtlEntry {
public:
    std::string_view words;  ///< As in `ctl stop`.
    About target;
    std::string_view form;  ///< What follows the word.
    std::string_view purpose;
    std::string_view path;       ///< Below `/api/v1`, with `{service}` and `{name}` or the number of the thing.
    std::string_view body = {};  ///< The member of the body that holds the name.
    std::array<std::string_view, 2> options = {};  ///< Besides those that all have.
    bool of_daemon = false;                        ///< An order to the daemon as a whole.

    std::string_view word() const { return words.substr(words.find(' ') + 1); }
    bool is_list() const noexcept { return target == About::nothing && !of_daemon; }
    bool takes(std::string_view option) const
    {
        return option == "server" || option == "token-file" || option == "json" ||
               std::find(options.begin(), options.end(), option) != options.end();
    }
};

// clang-format off
constexpr CtlEntry table[] = {
    {"ctl status", About::nothing, "", "Shows the daemon: version, counts and options in force.", "/status"},
    {"ctl services", About::nothing, "", "Lists the services.", "/services"},
    {"ctl instances", About::nothing, "[--service NAME] [--owner HASH]", "Lists the instances that exist.", "/instances", {},
     {"service", "owner"}},
    {"ctl sessions", About::nothing, "[--service NAME] [--owner HASH]", "Lists the sessions that are going on.", "/sessions", {},
     {"service", "owner"}},
    {"ctl queue", About::nothing, "[--service NAME] [--owner HASH]", "Lists the sessions that wait for their instance.", "/queue", {},
     {"service", "owner"}},
    {"ctl bans", About::nothing, "[--service NAME]", "Lists the bans in force.", "/bans", {}, {"service"}},
    {"ctl upstreams", About::nothing, "[--service NAME]", "Lists the servers to which connections are passed on.", "/upstreams", {},
     {"service"}},
    {"ctl events", About::nothing, "[--follow]", "Shows what happened last, or what happens.", "/events", {}, {"follow"}},
    {"ctl stop", About::thing, "SERVICE/ID", "Stops an instance; its sessions end.", "/services/{service}/instances/{name}/stop"},
    {"ctl extend", About::thing, "SERVICE/ID --for DURATION", "Keeps time limits from ending an instance before that long from now.",
     "/services/{service}/instances/{name}/extend", {}, {"for"}},
    {"ctl reset", About::service_and_name, "SERVICE HASH", "Stops all instances of an owner.", "/services/{service}/owners/{name}/reset"},
    {"ctl end", About::thing, "SERVICE/ID", "Ends a session.", "/services/{service}/sessions/{name}/end"},
    {"ctl drain", About::service_and_name, "SERVICE UPSTREAM", "Gives an upstream no more connections; those that it has go on.",
     "/services/{service}/drain", "upstream"},
    {"ctl fill", About::service_and_name, "SERVICE UPSTREAM", "Gives an upstream connections again.", "/services/{service}/fill", "upstream"},
    {"ctl ban", About::service_and_name, "SERVICE NETWORK [--for DURATION] [--reason TEXT]", "Bans an address or a network, for 10m.",
     "/services/{service}/ban", "network", {"for", "reason"}},
    {"ctl unban", About::service_and_name, "SERVICE NETWORK", "Ends the ban of exactly that network.", "/services/{service}/unban", "network"},
    {"ctl pause", About::service, "SERVICE", "Has clients refused until the service is resumed; sessions go on.", "/services/{service}/pause"},
    {"ctl reload", About::nothing, "[--dry-run]", "Puts the configuration into force as it is now, or shows what that would change.",
     "/reload", {}, {"dry-run"}, true},
    {"ctl reopen", About::nothing, "", "Opens the log, the access log and the recordings anew.", "/reopen", {}, {}, true},
    {"ctl resume", About::service, "SERVICE", "Takes clients in again.", "/services/{service}/resume"},
};
// clang-format on

constexpr std::string_view exit_codes = R"(
Exit codes: 0 done, 1 a failure, 2 a wrong command line, 3 no such thing, 4 no daemon, or none that
answers in time, 5 refused: the service cannot do that, or the token is a wrong one.
)";

Command misuse(const std::string& text) { return Command(Command::Kind::misuse, text + "; see instancerd ctl --help"); }

/// A command with what it was given.
class CtlOrder {
public:
    CtlOrder(const CtlEntry& to_do, CtlSettings given) : entry(to_do), settings(std::move(given)) {}

    const CtlEntry& entry;
    CtlSettings settings;
    std::string service;
    std::string name;
};

/// `text` for a part of a path, or of a query.
std::string escaped(std::string_view text)
{
    constexpr std::string_view plain = "-._~";
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (is_word || plain.find(c) != plain.npos) {
            result += c;
        } else {
            result += '%';
            result += "0123456789ABCDEF"[byte >> 4];
            result += "0123456789ABCDEF"[byte & 15];
        }
    }
    return result;
}

std::string path_of(const CtlOrder& order)
{
    std::string path = "/api/v1" + std::string(order.entry.path);
    for (const auto& [mark, value] : {std::pair<std::string, std::string>("{service}", order.service),
                                      std::pair<std::string, std::string>("{name}", order.name)})
        if (const auto place = path.find(mark); place != path.npos)
            path.replace(place, mark.size(), escaped(value));
    return path;
}

std::string body_of(const CtlOrder& order)
{
    auto body = Json::object();
    if (!order.entry.body.empty())
        body[std::string(order.entry.body)] = order.name;
    if (!order.settings.duration.empty())
        body["for"] = order.settings.duration;
    if (!order.settings.reason.empty())
        body["reason"] = order.settings.reason;
    return body.empty() ? std::string() : text_of(body);
}

/// What is nested more deeply than answers of a daemon is left out; what is no JSON is discarded.
Json parse_answer(const std::string& text)
{
    constexpr int deepest = 16;
    return Json::parse(
        text, [](int depth, Json::parse_event_t, Json&) { return depth <= deepest; }, false);
}

int explain(const CtlSettings& settings, const CtlAnswer& answer)
{
    if (answer.status == 0) {
        std::cerr << "instancerd: no daemon answers at " << settings.server.text() << ": " << answer.body << '\n';
        return no_daemon;
    }
    const auto problem = parse_answer(answer.body);
    const auto text = problem.is_object() ? problem.value("message", "") : std::string();
    if (answer.status == 401)
        std::cerr << "instancerd: the daemon asks for another token; name the file that its admin-token-file names: "
                     "--token-file FILE\n";
    else
        std::cerr << "instancerd: " << (text.empty() ? "status " + std::to_string(answer.status) : one_line(text))
                  << '\n';
    switch (answer.status) {
    case 400: return misused;
    case 401:
    case 403:
    case 409: return refused;
    case 404: return no_such;
    case 503: return no_daemon;
    default: return failed;
    }
}

int show(const CtlOrder& order, const Json& answer)
{
    if (order.settings.json)
        std::cout << text_of(answer) << std::endl;
    else
        std::cout << table_of(order.entry.word(), answer) << std::flush;
    return done;
}

/// All pages of a list as one.
int list(const CtlOrder& order, const CtlClient& client)
{
    // What is no list has no pages.
    std::string query = order.entry.word() == "status" ? "" : "?limit=1000";
    if (!order.settings.service.empty())
        query += "&service=" + escaped(order.settings.service);
    if (!order.settings.owner.empty())
        query += "&owner=" + escaped(order.settings.owner);
    const std::string word(order.entry.word());
    Json all;
    for (std::string next;;) {
        const auto answer = client.get(path_of(order) + query + (next.empty() ? "" : "&after=" + escaped(next)));
        auto page = parse_answer(answer.body);
        if (answer.status != 200 || !page.is_object())
            return explain(order.settings, answer);
        const auto end = page.value("next", Json());
        if (all.is_null())
            all = std::move(page);
        else
            for (auto& item : page[word])
                all[word].push_back(std::move(item));
        if (!end.is_string())
            break;
        next = end.get<std::string>();
    }
    all.erase("next");
    return show(order, all);
}

int follow(const CtlOrder& order, const CtlClient& client)
{
    constexpr std::string_view mark = "data: ";
    const auto answer = client.follow("/api/v1/events/stream", [&](const std::string& line) {
        if (!line.starts_with(mark))
            return true;
        const auto event = parse_answer(line.substr(mark.size()));
        if (event.is_object())
            std::cout << (order.settings.json ? text_of(event) : line_of_event(event)) << std::endl;
        return static_cast<bool>(std::cout);
    });
    if (answer.status != 200)
        return explain(order.settings, answer);
    return done;
}

int obey(const CtlOrder& order)
{
    const auto client = CtlClient::make(order.settings);
    if (!client) {
        std::cerr << "instancerd: " << client.error() << '\n';
        return misused;
    }
    if (order.settings.follow)
        return follow(order, *client);
    if (order.entry.is_list())
        return list(order, *client);
    const auto answer = client->post(path_of(order) + (order.settings.dry_run ? "?dry_run=true" : ""), body_of(order));
    if (answer.status != 200)
        return explain(order.settings, answer);
    if (order.settings.json || order.entry.word() == "reload")
        return show(order, parse_answer(answer.body));
    return done;
}

std::vector<std::string_view> all_words()
{
    std::vector<std::string_view> words;
    for (const auto& entry : table)
        words.push_back(entry.word());
    return words;
}

/// Fills in what the command is about. False where the words do not fit.
bool read_target(CtlOrder& order, const std::vector<std::string>& words)
{
    const auto target = order.entry.target;
    const std::size_t count = target == About::nothing ? 1 : target == About::service_and_name ? 3 : 2;
    if (words.size() != count)
        return false;
    if (target == About::nothing)
        return true;
    order.service = words[1];
    if (target == About::service_and_name)
        order.name = words[2];
    if (target != About::thing)
        return true;
    const auto slash = words[1].rfind('/');
    if (slash == std::string::npos)
        return false;
    order.service = words[1].substr(0, slash);
    order.name = words[1].substr(slash + 1);
    return parse_count(order.name, 0, std::numeric_limits<std::uint64_t>::max()).has_value();
}

std::string form_of(const CtlEntry& entry)
{
    return "instancerd " + std::string(entry.words) + (entry.form.empty() ? "" : " ") + std::string(entry.form);
}

}  // namespace

std::vector<CommandEntry> ctl_commands()
{
    std::vector<CommandEntry> all{{.words = "ctl",
                                   .forms = {"[-s ADDR] COMMAND"},
                                   .brief = "ask a daemon that runs, and steer it",
                                   .purpose = "Asks a daemon that runs with --admin, and steers it.",
                                   .examples = {"ctl sessions --service shell", "ctl end shell/17"},
                                   .scope = Scope::ctl}};
    for (const auto& entry : table)
        all.push_back({.words = entry.words,
                       .forms = {entry.form},
                       .purpose = entry.purpose,
                       .scope = Scope::ctl,
                       .is_part = true});
    return all;
}

std::string ctl_usage(std::string_view word)
{
    for (const auto& entry : table)
        if (entry.word() == word)
            return "Usage: " + form_of(entry) + " [-s ADDR]\n\n" + std::string(entry.purpose) + "\n" +
                   std::string(exit_codes);
    std::string text = "Usage: instancerd ctl [-s ADDR] COMMAND [options]\n\n"
                       "Asks a daemon that runs with --admin, and steers it.\n\n";
    for (const auto& entry : table)
        text += "  " + form_of(entry) + "\n      " + std::string(entry.purpose) + "\n";
    text += "\n";
    for (const auto example : ctl_commands().front().examples)
        text += "  instancerd " + std::string(example) + "\n";
    return text + std::string(exit_codes);
}

Command make_ctl_command(const std::vector<std::string>& words, const Settings& settings)
{
    if (words.empty())
        return misuse("what is to be asked? Commands: " + joined(all_words()));
    const auto entry =
        std::find_if(std::begin(table), std::end(table), [&](const CtlEntry& one) { return one.word() == words[0]; });
    if (entry == std::end(table))
        return misuse("unknown command " + in_quotes(words[0]) + suggestion(words[0], all_words()));
    for (const auto& [option, place] : settings.given)
        if (!entry->takes(option))
            return misuse("--" + option + " has no effect on ctl " + words[0]);
    CtlOrder order(*entry, settings.ctl);
    if (!read_target(order, words))
        return misuse("write " + form_of(*entry));
    if (entry->word() == "extend" && order.settings.duration.empty())
        return misuse("how long? Write " + form_of(*entry));
    Command command(Command::Kind::act);
    command.act = [order = std::move(order)] {
        try {
            return obey(order);
        } catch (const Json::exception&) {
            std::cerr << "instancerd: the answer at " << order.settings.server.text()
                      << " is not one of instancerd; name the daemon's admin address by -s\n";
            return static_cast<int>(failed);
        }
    };
    return command;
}

}  // namespace instancer::daemon
