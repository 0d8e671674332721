// SPDX-License-Identifier: MIT
#include "config/command_line.hpp"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include <instancer/version.hpp>

#include "config/config.hpp"
#include "ctl/ctl.hpp"
#include "daemon/system.hpp"
#include "modes/modes.hpp"
#include "modes/relay/relay.hpp"
#include "options/commands.hpp"
#include "options/options.hpp"
#include "proof/proof.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view purpose =
    "Every TCP client gets a server instance of its own: a process or a Docker container.\n"
    "Or its connection is passed on to one of several servers, joined with others in a channel,\n"
    "or taken through a reverse tunnel.\n";

constexpr std::string_view notes = R"(
Durations read 300ms, 20s, 10m, 2h; 0 means no limit (--linger 0: no
lingering). Sizes read 512k, 64m, 2g.
SIGTERM and SIGINT let sessions finish, a second one stops now; SIGHUP reads the configuration and
the files of tokens, access rules, upstreams, the authentication string and a tunnel's
configuration again; SIGUSR1 logs every instance, session and upstream; SIGUSR2 opens log files and
recordings again. Exit codes: 0 all went well, 1 a failure while running, 2 a wrong command line or
configuration.
)";

constexpr std::string_view tunnel_help =
    R"(Usage: instancerd tunnel server -t ROUTES -c CONFIG -d USERS [-p ADDR] [-C ADDR] [options]
       instancerd tunnel agent -p HOST:PORT [options]

Users connect to the server, and the agent, inside a closed network, connects them to their targets.
The options of each end: instancerd tunnel server --help, instancerd tunnel agent --help.
)";

constexpr std::string_view file_help =
    R"(Usage: instancerd run --config FILE [options]      serves all that the configuration describes
       instancerd check --config FILE [options]    says what is wrong with it; exit 2, or 0 when all is well
       instancerd owners --config FILE [options]   lists hash, service and label of each owner of a listed token
       instancerd flag check --config FILE         says whose each flag on standard input is
       instancerd oci prune --config FILE          removes unpacked images that it does not use

The configuration is JSON, with comments:

  { "log-level": "info",
    "services": { "shell": { "mode": "exec", "listen": ":1337", "command": ["/bin/cat"] } } }

check grades the isolation of each service too; with --strict a weak one is wrong.
Options of the daemon (instancerd --help) may stand beside --config, and go before what it says.

Keys are the long options without the dashes, of the daemon at the top and of its mode in each
service; "mode" and "command" say what the command line says by position. instancerd MODE --help
shows the options of a mode: exec, docker, oci, forward, relay, tunnel server, tunnel agent.
)";

/// Breaks `text` into lines that begin in column `indent` and end before column 100.
std::string wrapped(const std::string& text, std::size_t indent)
{
    std::string result;
    std::size_t column = indent;
    for (const auto& word : split(text, ' ')) {
        if (column > indent && column + 1 + word.size() > 100) {
            result += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (column > indent) {
            result += ' ';
            ++column;
        }
        result += word;
        column += word.size();
    }
    return result;
}

/// The usual form of each command.
std::string usage()
{
    std::string text = "\n";
    for (const auto& command : commands()) {
        if (command.is_part)
            continue;
        auto words = std::string(command.words);
        words.resize(std::max<std::size_t>(words.size(), 6), ' ');
        text += "  instancerd " + words + " " + std::string(command.forms.front()) +
                (command.brief.empty() ? "" : "  " + std::string(command.brief)) + "\n";
    }
    return text + "  instancerd --help | --version           COMMAND --help shows the options of one command\n";
}

std::string option_help(Scope scope)
{
    constexpr std::size_t indent = 34;
    std::string text;
    std::string_view group;
    for (const auto& option : options()) {
        if (!takes(scope, option.scope))
            continue;
        if (option.group != group) {
            group = option.group;
            text += "\n" + std::string(group) + ":\n";
        }
        auto left = "  " + option.flags();
        if (const auto value = option.value(); !value.empty())
            left += " " + value;
        if (left.size() >= indent)
            left += "\n" + std::string(indent, ' ');
        left.resize(std::max(left.size(), indent), ' ');
        const auto initial = option.default_value();
        text += left + wrapped(option.description() + (initial == "-" ? "" : " [" + initial + "]"), indent) + "\n";
    }
    return text;
}

std::string help() { return std::string(purpose) + usage() + option_help(Scope::any_service) + std::string(notes); }

std::string help(const CommandEntry& command)
{
    const auto words = "instancerd " + std::string(command.words);
    std::string text = "Usage: ";
    for (const auto form : command.forms)
        if (!form.empty())
            text += (text.back() == '\n' ? "       " : "") + words + " " + std::string(form) + "\n";
    text += std::string(command.remarks) + option_help(command.scope) + std::string(notes) + "\n";
    for (const auto example : command.examples)
        text += "  instancerd " + std::string(example) + "\n";
    return text;
}

/// `guess` is `; did you mean X?`, or nothing.
std::string unknown_word(const std::string& word, const std::string& guess, const std::string& help)
{
    return "unknown " + word + guess + (guess.empty() ? "; see" : " See") + " instancerd " + help;
}

Command misuse(const std::string& text) { return Command(Command::Kind::misuse, text); }

/// `tunnel server`, `tunnel agent`, `flag check` and `oci prune` are one word for the rest.
Parsed<void> join_words(std::vector<std::string>& arguments)
{
    const auto first = arguments.empty() ? std::string() : arguments.front();
    const auto second = arguments.size() < 2 ? std::string() : arguments[1];
    if (first != "tunnel" && first != "flag" && (first != "oci" || second != "prune"))
        return {};
    if (first == "tunnel" && second != "server" && second != "agent")
        return wrong("which end of the tunnel? Write instancerd tunnel server, or instancerd tunnel agent");
    if (first == "flag" && second != "check")
        return wrong("what about flags? Write instancerd flag check");
    arguments[1] = first + "-" + second;
    arguments.erase(arguments.begin());
    return {};
}

/// Options of the table as one command of CLI11 knows them.
class CommandOptions {
public:
    /// Those that a command of that scope takes.
    CommandOptions(CLI::App& app, Scope scope)
    {
        for (const auto& option : options())
            if (takes(scope, option.scope))
                added_.emplace_back(&option, add(app, option));
    }

    std::vector<std::string_view> names() const
    {
        std::vector<std::string_view> all;
        for (const auto& [option, added] : added_)
            all.push_back(option->name);
        return all;
    }

    /// Without a service the target's settings are the daemon's alone.
    void apply(Target target, Problems& problems) const
    {
        for (const auto& [option, added] : added_)
            if (added->count() > 0)
                apply(*option, added->results(), target, problems);
    }

private:
    static CLI::Option* add(CLI::App& app, const Option& option)
    {
        const auto name = (option.traits.letter ? std::string("-") + option.traits.letter + "," : "") + "--" +
                          std::string(option.name);
        const auto shape = option.type.shape;
        if (shape == Shape::flag)
            return app.add_flag(name);
        return app.add_option(name, [](const CLI::results_t&) { return true; })
            ->expected(shape == Shape::variant ? 0 : 1, 1)
            ->default_str("true")
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }

    static void apply(const Option& option, const std::vector<std::string>& values, Target target, Problems& problems)
    {
        const Place place(0, "--" + std::string(option.name));
        auto& given = target.service ? target.service->given : target.settings.given;
        given.insert_or_assign(std::string(option.name), place);
        if (!option.repeats() && values.size() > 1)
            problems.emplace_back(place, "is there " + std::to_string(values.size()) + " times; keep one of them");
        for (const auto& value : values)
            if (const auto done = apply_value(option, target, value); !done) {
                problems.emplace_back(place, done.error());
                if (target.service)
                    target.service->unread.emplace(option.name);
            }
    }

    static Parsed<void> apply_value(const Option& option, Target target, const std::string& value)
    {
        if (option.type.shape == Shape::flag && value != "true" && value != "false")
            return wrong("takes no value; remove =" + one_line(value, 100));
        return option.type.parse(target, value);
    }

    std::vector<std::pair<const Option*, CLI::Option*>> added_;
};

/// One of the quick forms.
class QuickForm {
public:
    QuickForm(CLI::App& app, Mode mode)
        : mode_(mode), app_(app.add_subcommand(std::string(name_of(mode)))), options_(*app_, scope_of(mode))
    {
        app_->set_help_flag();
        app_->allow_extras();
        help_ = app_->add_flag("-h,--help");
    }

    bool used() const { return app_->parsed(); }

    Command read(std::vector<std::string> command) const
    {
        if (help_->count() > 0)
            return Command(Command::Kind::print, help(entry_of(mode_).command));
        const auto extras = app_->remaining();
        const bool by_position =
            mode_ == Mode::forward && (extras.size() == 2 || extras.size() == 4) && extras.front().substr(0, 1) != "-";
        if (!extras.empty() && !by_position)
            return misuse(unknown(extras.front()));

        Command result(Command::Kind::serve);
        ServiceSettings service(app_->get_name(), mode_);
        service.command = std::move(command);
        if (!service.command.empty())
            service.given.emplace("command", Place());
        const Target target(result.settings, &service);
        options_.apply(target, result.problems);
        if (by_position)
            apply_positions(extras, target, result.problems);
        if (mode_ == Mode::relay && !service.has("log-level"))
            result.settings.log_level = log_level_of(service.relay.verbosity);
        service.complete();
        result.settings.services.push_back(std::move(service));
        return result;
    }

private:
    /// The words of the original: LOCAL_IP LOCAL_PORT FORWARD_IP FORWARD_PORT, or each pair as one.
    static void apply_positions(const std::vector<std::string>& words, Target target, Problems& problems)
    {
        const auto joined = [](const std::string& host, const std::string& port) {
            return (host.find(':') == host.npos ? host : "[" + host + "]") + ":" + port;
        };
        const bool apart = words.size() == 4;
        for (const auto& [name, value] : {std::pair("listen", apart ? joined(words[0], words[1]) : words[0]),
                                          std::pair("to", apart ? joined(words[2], words[3]) : words[1])}) {
            const Place place(0, "--" + std::string(name));
            target.service->given.emplace(name, place);
            if (const auto done = find_option(name)->type.parse(target, value); !done)
                problems.emplace_back(place, done.error());
        }
    }

    std::string unknown(const std::string& argument) const
    {
        const auto& command = entry_of(mode_).command;
        if (argument.empty() || argument.front() != '-')
            return "unexpected " + in_quotes(argument) + "; " + std::string(command.stray);
        auto bare = std::string_view(argument).substr(0, argument.find('='));
        bare.remove_prefix(std::min(bare.find_first_not_of('-'), bare.size()));
        std::vector<std::string_view> knowing;
        for (const auto& other : commands())
            if (!other.is_part && other.has_own(bare))
                knowing.push_back(other.words);
        if (!knowing.empty())
            return "--" + std::string(bare) + " works only with instancerd " + alternatives(knowing) +
                   "; remove it or use that";
        return unknown_word("option " + one_line(argument, 100), suggestion(bare, options_.names(), "--"),
                            std::string(command.words) + " --help");
    }

    Mode mode_;
    CLI::App* app_;
    CommandOptions options_;
    CLI::Option* help_;
};

/// `run`, `check`, `owners`, `flag check` or `oci prune`: a configuration, and options of the daemon that go before
/// what it says.
class FileForm {
public:
    FileForm(CLI::App& app, std::string_view name, Command::Kind kind)
        : kind_(kind), app_(app.add_subcommand(std::string(name))), options_(*app_, Scope::daemon)
    {
        app_->set_help_flag();
        app_->allow_extras();
        help_ = app_->add_flag("-h,--help");
        config_ = app_->add_option("--config");
        if (kind == Command::Kind::check)
            strict_ = app_->add_flag("--strict");
    }

    bool used() const { return app_->parsed(); }
    bool asks_for_help() const { return used() && help_->count() > 0; }

    Command read(bool has_command) const
    {
        const auto file = config_->count() > 0 ? config_->as<std::string>() : std::string();
        if (const auto extras = app_->remaining(); !extras.empty() || has_command)
            return misuse("unexpected " + in_quotes(extras.empty() ? "--" : extras.front()) +
                          (file.empty() && extras.size() == 1
                               ? "; is that the configuration? Write --config " + one_line(extras.front(), 100)
                               : "; what to run, and how, stands in the configuration"));
        if (file.empty())
            return misuse("which configuration? Add --config FILE");
        const auto text = read_file(file);
        if (!text)
            return misuse(text.error());
        Command result(kind_);
        result.strict = strict_ && strict_->count() > 0;
        result.settings = read_config(file, *text, result.problems);
        // Paths on the command line are relative to where it is written.
        const auto base = std::exchange(result.settings.base, {});
        options_.apply(Target(result.settings, nullptr), result.problems);
        result.settings.base = base;
        return result;
    }

private:
    Command::Kind kind_;
    CLI::App* app_;
    CommandOptions options_;
    CLI::Option* help_;
    CLI::Option* config_;
    CLI::Option* strict_ = nullptr;
};

/// `ctl`: options of its own, between the words of its commands.
class CtlForm {
public:
    explicit CtlForm(CLI::App& app) : app_(app.add_subcommand("ctl")), options_(*app_, Scope::ctl)
    {
        app_->set_help_flag();
        app_->allow_extras();
        help_ = app_->add_flag("-h,--help");
    }

    bool used() const { return app_->parsed(); }

    Command read() const
    {
        const auto words = app_->remaining();
        if (help_->count() > 0)
            return Command(Command::Kind::print,
                           ctl_usage(words.empty() ? std::string() : words[0]) + option_help(Scope::ctl));
        for (const auto& word : words)
            if (word.starts_with('-'))
                return misuse(unknown_word("option " + one_line(word, 100), suggestion(word, options_.names(), "--"),
                                           "ctl --help"));
        Settings settings;
        Problems problems;
        options_.apply(Target(settings, nullptr), problems);
        if (!problems.empty())
            return misuse(problems.front().format({}));
        return make_ctl_command(words, settings);
    }

private:
    CLI::App* app_;
    CommandOptions options_;
    CLI::Option* help_;
};

}  // namespace

Command parse_command_line(std::vector<std::string> arguments)
{
    // What follows -- is not ours: split it off before CLI11 gives a meaning to any of it.
    std::vector<std::string> command;
    const auto mark = std::find(arguments.begin(), arguments.end(), "--");
    const bool has_command = mark != arguments.end();
    if (has_command) {
        command.assign(mark + 1, arguments.end());
        arguments.erase(mark, arguments.end());
    }

    if (arguments.size() == 2 && arguments[0] == "tunnel" && (arguments[1] == "--help" || arguments[1] == "-h"))
        return Command(Command::Kind::print, std::string(tunnel_help));
    if (!arguments.empty() && arguments.front() == "pow")
        return parse_proof_command({arguments.begin() + 1, arguments.end()});
    if (const auto joined = join_words(arguments); !joined)
        return misuse(joined.error());

    if (!arguments.empty() && arguments.front() == name_of(Mode::relay))
        arguments = spell_out_relay(arguments);

    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    app.require_subcommand(0, 1);
    const auto* help_flag = app.add_flag("-h,--help");
    const auto* version_flag = app.add_flag("--version");
    std::vector<QuickForm> quick_forms;
    for (const auto* mode : all_modes())
        quick_forms.emplace_back(app, mode->mode);
    const CtlForm ctl(app);
    const FileForm file_forms[] = {{app, "run", Command::Kind::serve},
                                   {app, "check", Command::Kind::check},
                                   {app, "owners", Command::Kind::owners},
                                   {app, "flag-check", Command::Kind::find_flags},
                                   {app, "oci-prune", Command::Kind::prune}};

    std::reverse(arguments.begin(), arguments.end());
    try {
        app.parse(arguments);
    } catch (const CLI::ArgumentMismatch& error) {
        const std::string what = error.what();
        return misuse(what.substr(0, what.find(':')) + (what.find("At Most") == what.npos
                                                            ? ": has no value; write one after it"
                                                            : ": is there more than once; keep one of them"));
    } catch (const CLI::ParseError& error) {
        return misuse(one_line(error.what()));
    }

    for (const auto& form : quick_forms)
        if (form.used())
            return form.read(std::move(command));
    if (ctl.used())
        return ctl.read();
    for (const auto& form : file_forms)
        if (form.asks_for_help())
            return Command(Command::Kind::print, std::string(file_help));
    if (help_flag->count() > 0)
        return Command(Command::Kind::print, help());
    if (version_flag->count() > 0)
        return Command(Command::Kind::print, "instancerd " INSTANCER_VERSION "\n");
    for (const auto& form : file_forms)
        if (form.used())
            return form.read(has_command);
    const auto extras = app.remaining();
    if (extras.empty())
        return misuse("what is to be done?\n" + usage());
    const auto& word = extras.front();
    if (!word.empty() && word.front() == '-')
        return misuse("unexpected " + one_line(word, 100) + "; options follow a command: instancerd " +
                      alternatives(first_words()));
    if (word == "help")
        return Command(Command::Kind::print, help());
    return misuse(unknown_word("command " + in_quotes(word), suggestion(word, first_words()), "--help"));
}

}  // namespace instancer::daemon
