// SPDX-License-Identifier: MIT
// generate man | man-config | bash | zsh: writes a manual page, or a shell's completion, to standard output. All that
// it says of commands and options comes from the daemon's own table and --help.
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/version.hpp>

#include "config/command_line.hpp"
#include "config/text.hpp"
#include "options/options.hpp"

namespace {

using instancer::daemon::Option;
using instancer::daemon::Shape;
using instancer::daemon::split;

/// A command as --help lists it.
class Command {
public:
    std::string name;                    ///< One word or two, as in `tunnel server`.
    std::vector<std::string> usage;      ///< Its lines.
    std::vector<const Option*> options;  ///< As its own --help lists them.
    std::vector<std::string> examples;   ///< Lines.

    explicit Command(std::string command_name) : name(std::move(command_name)) {}
};

std::string help_of(const std::string& command)
{
    auto words = command.empty() ? std::vector<std::string>() : split(command, ' ');
    words.push_back("--help");
    return instancer::daemon::parse_command_line(words).text;
}

bool is_word(const std::string& text)
{
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; }) &&
           text.front() != '-';
}

/// The words of `line` that follow the program's name, as long as they are a command's.
std::string command_in(std::string_view line)
{
    std::string name;
    if (!line.starts_with("  instancerd "))
        return name;
    for (const auto& word : split(line.substr(line.find('d') + 2), ' ')) {
        if (!is_word(word))
            break;
        name += (name.empty() ? "" : " ") + word;
    }
    return name;
}

/// The option that `line` of a --help begins to describe, or none.
const Option* option_in(const std::string& line)
{
    if (!line.starts_with("  -"))
        return nullptr;
    const auto begin = line.find("--");
    return begin == line.npos
               ? nullptr
               : instancer::daemon::find_option(line.substr(begin + 2, line.find(' ', begin) - begin - 2));
}

std::vector<Command> read_commands()
{
    std::vector<Command> commands;
    for (const auto& line : split(help_of(""), '\n')) {
        const auto name = command_in(line);
        if (name.empty())
            continue;
        auto found = std::find_if(commands.begin(), commands.end(), [&](auto& c) { return c.name == name; });
        if (found == commands.end())
            found = commands.insert(commands.end(), Command(name));
        found->usage.push_back(line.substr(2));
    }
    for (auto& command : commands) {
        const bool reads_file = command.usage.front().find("--config FILE") != std::string::npos;
        if (reads_file)
            continue;  // Its options are keys in that file.
        for (const auto& line : split(help_of(command.name), '\n')) {
            if (const auto* option = option_in(line))
                command.options.push_back(option);
            else if (line.starts_with("  instancerd "))
                command.examples.push_back(line.substr(2));
        }
    }
    return commands;
}

/// The paragraph of --help that follows the options.
std::vector<std::string> notes()
{
    const auto lines = split(help_of(""), '\n');
    const auto begin =
        std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("Durations"); });
    return {begin, std::find(begin, lines.end(), "")};
}

/// Text in which troff sees nothing but text.
std::string roff(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        if (c == '\\')
            result += "\\e";
        else if (c == '-')
            result += "\\-";
        else if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n'))
            result += std::string("\\&") + c;
        else
            result += c;
    }
    return result;
}

std::string heading(std::string_view section, std::string_view page, std::string_view title)
{
    return ".TH " + std::string(page) + " " + std::string(section) + " \"\" \"instancer " INSTANCER_VERSION "\" \"" +
           std::string(title) + "\"\n";
}

std::string verbatim(const std::vector<std::string>& lines)
{
    std::string text = ".PP\n.nf\n";
    for (const auto& line : lines)
        text += roff(line) + "\n";
    return text + ".fi\n";
}

/// What an option does, its default included. A short form, with which the help of some begins, is no key.
std::string description(const Option& option, bool as_key = false)
{
    auto help = option.help;
    if (as_key && help.starts_with('-'))
        help.remove_prefix(help.find(". ") + 2);
    auto text = roff(help);
    if (option.shape == Shape::list || option.shape == Shape::map)
        text += "; may be repeated";
    text += ".\n";
    if (option.fallback != "-")
        text += "Default: " + roff(option.fallback) + ".\n";
    return text;
}

constexpr std::string_view about = R"(.SH DESCRIPTION
.B instancerd
takes a TCP or Unix connection and gives that client a server instance of its own: a fresh process or container, found
again when the same client comes back, gone when it is no longer needed.
It also passes connections on, to one of several servers, to the other members of a channel, or through a tunnel.
From then on nobody can tell that anything stands between the two ends: half\-closes, resets and urgent data arrive as
they would from a direct connection.
.PP
Several services in one daemon stand in a configuration; see
.BR instancerd.json (5).
)";

const std::map<std::string_view, std::string_view> purposes = {
    {"exec", "Each client gets a process of its own, reached by its standard input and output, by the client's own "
             "socket, or by a port that it listens on."},
    {"docker",
     "Each client gets a container of its own, which reaches neither the host nor its neighbours nor, without "
     "--egress, the outside. Whoever may use the Docker engine is root on its host, and so is this daemon."},
    {"forward", "Each connection is passed on to one of the servers of a list."},
    {"relay", "Whatever a member of a channel sends reaches all other members of it."},
    {"tunnel server", "The public end of a reverse tunnel: connections to its listeners go through the link that an "
                      "agent keeps open."},
    {"tunnel agent", "The private end of a reverse tunnel: it calls the server, and connects to the targets from where "
                     "it is."},
    {"run", "Serves what a configuration says, several services in one daemon."},
    {"check", "Says what is wrong with a configuration, by line and path, and starts nothing."},
};

void write_manual(const std::vector<Command>& commands)
{
    std::cout << heading("1", "INSTANCERD", "User Commands")
              << ".SH NAME\ninstancerd \\- gives every TCP client a server instance of its own\n.SH SYNOPSIS\n";
    std::vector<std::string> usage, examples;
    for (const auto& command : commands) {
        usage.insert(usage.end(), command.usage.begin(), command.usage.end());
        examples.insert(examples.end(), command.examples.begin(), command.examples.end());
    }
    for (auto* lines : {&usage, &examples}) {  // each once, though two commands may show it
        std::vector<std::string> seen;
        for (const auto& line : *lines)
            if (std::find(seen.begin(), seen.end(), line) == seen.end())
                seen.push_back(line);
        *lines = seen;
    }
    std::cout << verbatim(usage) << about << ".SH COMMANDS\n";
    for (const auto& command : commands) {
        const auto purpose = purposes.find(command.name);
        std::cout << ".TP\n.B " << roff(command.name) << "\n"
                  << roff(purpose == purposes.end() ? command.usage.front() : purpose->second) << "\n";
    }
    std::cout << ".SH OPTIONS\nAfter each option stand the commands that know it.\n";
    std::string_view group;
    for (const auto& option : instancer::daemon::options()) {
        std::string where;
        for (const auto& command : commands)
            if (std::find(command.options.begin(), command.options.end(), &option) != command.options.end())
                where += (where.empty() ? "" : ", ") + command.name;
        if (where.empty())
            continue;
        if (option.group != group) {
            group = option.group;
            std::cout << ".SS " << roff(group) << "\n";
        }
        std::cout << ".TP\n\\fB\\-\\-" << roff(option.name) << "\\fR";
        if (!option.value.empty())
            std::cout << " \\fI" << roff(option.value) << "\\fR";
        std::cout << " (" << roff(where) << ")\n" << description(option);
    }
    std::cout << ".SH NOTES\n";
    for (const auto& line : notes())
        std::cout << roff(line) << "\n";
    std::cout << R"(.SH ENVIRONMENT
.TP
.BR LISTEN_FDS ", " LISTEN_FDNAMES ", " LISTEN_PID
Sockets that a service manager passes; \-\-listen fd:NAME takes them by their name.
.TP
.B NOTIFY_SOCKET
Where a service manager hears that all services take clients in, and that the end has begun; see
.BR sd_notify (3).
.TP
.B DOCKER_HOST
The Docker engine, where \-\-engine names none.
.SH FILES
.TP
.I /etc/instancerd/instancerd.json
What instancerd.service runs.
.TP
.I /usr/share/doc/instancerd
Pages on operation, with all messages and what to do about them, on security, on relays and on tunnels.
.SH EXAMPLES
)" << verbatim(examples)
              << ".SH SEE ALSO\n.BR instancerd.json (5),\n.BR systemd.socket (5),\n.BR tcpdump (8)\n";
}

std::string_view shape_name(Shape shape)
{
    switch (shape) {
    case Shape::text: return "a string";
    case Shape::number: return "a number";
    case Shape::duration: return "a duration, as in \"20s\"";
    case Shape::size: return "a size, as in \"64m\", or bytes as a number";
    case Shape::flag: return "true or false";
    case Shape::variant: return "true, false or a string";
    case Shape::list: return "a string, or an array of strings";
    case Shape::map: return "an object: {\"NAME\": \"value\"}";
    }
    return "";
}

void write_config_manual()
{
    std::cout
        << heading("5", "INSTANCERD.JSON", "File Formats") << R"(.SH NAME
instancerd.json \- services of instancerd
.SH DESCRIPTION
A JSON object, in which // and /* */ comments are allowed.
Its member
.B services
is an object with one member a service; the member's name is the service's name in the log.
.B instancerd check \-\-config
.I FILE
says what is wrong with a file, by line and path.
.PP
Keys are the long options of
.BR instancerd (1)
without the dashes, and two more: each service has a
.BR mode ,
which is a command of
.BR instancerd (1)
such as "exec", "docker" or "forward", and one with processes or containers may have a
.BR command ,
an array of the program and its arguments.
A key with a dot is a member of an object: limits.memory is {"limits": {"memory": "64m"}}.
Relative paths are relative to the file.
.PP
To
.I instancerd.service
the system is read\-only, but for
.I /var/lib/instancerd
and
.IR /run/instancerd .
What is written, such as the user database of a tunnel (db), recordings and log files, belongs into the former, and
belongs to the user instancerd; Unix sockets belong into the latter.
.SH EXAMPLE
)"
        << verbatim(
               {"{ // comments are allowed", R"(  "services": {)",
                R"(    "web":   { "mode": "forward", "listen": ":80", "to": ["10.0.0.1:8080=2", "10.0.0.2:8080"] },)",
                R"(    "shell": { "mode": "exec", "listen": ":1337", "command": ["/usr/bin/python3", "chall.py"],)",
                R"(               "user": "nobody", "ttl": "10m", "limits": { "memory": "64m" } })", "  }", "}"})
        << ".PP\nIn\n.I instancerd.service\nprocesses of another user, as in \\(lqshell\\(rq, take what\n"
           ".I exec.conf\nallows.\n"
        << ".SH KEYS\n";
    std::string_view group;
    for (const auto& option : instancer::daemon::options()) {
        if (option.group != group) {
            group = option.group;
            std::cout << ".SS " << roff(group) << "\n";
        }
        std::cout << ".TP\n\\fB" << roff(option.config_key()) << "\\fR (" << roff(shape_name(option.shape)) << ")\n"
                  << description(option, true);
    }
    std::cout << ".SH FILES\n.I /etc/instancerd/instancerd.json\n.br\n.I /var/lib/instancerd\n"
                 ".SH SEE ALSO\n.BR instancerd (1)\n";
}

/// What a shell can offer for the value of an option.
class Offer {
public:
    explicit Offer(const Option& option)
    {
        const auto words = split(option.value, '|');
        // What may stand alone or with a value is followed by anything.
        if (option.shape != Shape::variant && words.size() > 1 && std::all_of(words.begin(), words.end(), is_choice))
            choices = words;
        file = option.value == "FILE";
        directory = option.value == "DIR";
    }

    std::vector<std::string> choices;
    bool file;
    bool directory;

private:
    static bool is_choice(const std::string& word)
    {
        return !word.empty() && std::none_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    }
};

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

/// The first words of all commands.
std::vector<std::string> first_words(const std::vector<Command>& commands)
{
    std::vector<std::string> words;
    for (const auto& command : commands)
        if (auto word = split(command.name, ' ').front(); words.empty() || words.back() != word)
            words.push_back(std::move(word));
    return words;
}

/// The second words of the commands that begin with each word and have two.
std::map<std::string, std::vector<std::string>> second_words(const std::vector<Command>& commands)
{
    std::map<std::string, std::vector<std::string>> result;
    for (const auto& command : commands)
        if (const auto words = split(command.name, ' '); words.size() == 2)
            result[words[0]].push_back(words[1]);
    return result;
}

void write_bash(const std::vector<Command>& commands)
{
    const auto seconds = second_words(commands);
    std::cout << R"(# bash completion for instancerd

_instancerd()
{
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} i words=
    COMPREPLY=()
    # What follows -- is another program's.
    for ((i = 2; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            if ((i + 1 == COMP_CWORD)); then
                COMPREPLY=($(compgen -c -- "$word"))
            else
                COMPREPLY=($(compgen -f -- "$word"))
            fi
            return
        fi
    done
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W ")"
              << joined(first_words(commands)) << R"( --help --version" -- "$word"))
        return
    fi
)";
    for (const auto& [first, words] : seconds)
        std::cout << "    if [[ $command == " << first << R"( ]]; then
        if ((COMP_CWORD == 2)); then
            COMPREPLY=($(compgen -W ")"
                  << joined(words) << R"(" -- "$word"))
            return
        fi
        command+=" ${COMP_WORDS[2]}"
    fi
)";
    std::cout << "    case $previous in\n";
    std::string files = instancer::daemon::find_option("config") ? "" : "--config", directories, others;
    const auto add = [](std::string& list, const Option& option) {
        list += (list.empty() ? "--" : " | --") + std::string(option.name);
    };
    for (const auto& option : instancer::daemon::options()) {
        const Offer offer(option);
        if (!offer.choices.empty())
            std::cout << "        --" << option.name << ") COMPREPLY=($(compgen -W \"" << joined(offer.choices)
                      << "\" -- \"$word\")); return ;;\n";
        else if (option.shape != Shape::flag && option.shape != Shape::variant)
            add(offer.file ? files : offer.directory ? directories : others, option);
    }
    std::cout << "        " << files << ") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
              << "        " << directories << ") COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
              << "        " << others << ") return ;;\n";
    std::cout << "    esac\n    case $command in\n";
    for (const auto& command : commands) {
        std::vector<std::string> names;
        for (const auto* option : command.options)
            names.push_back("--" + std::string(option->name));
        if (names.empty())
            names.push_back("--config");
        std::cout << "        '" << command.name << "') words='" << joined(names) << " --help' ;;\n";
    }
    std::cout << R"(    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}

complete -o filenames -F _instancerd instancerd
)";
}

/// `text` for a description in square brackets inside single quotes.
std::string zsh(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        if (c == '\'')
            result += "'\\'";
        else if (c == '[' || c == ']' || c == ':' || c == '\\')
            result += '\\';
        result += c;
    }
    return result;
}

void write_zsh(const std::vector<Command>& commands)
{
    std::cout << "#compdef instancerd\n\nlocal command=$words[2]\nlocal -a specs\n"
              << "if (( CURRENT == 2 )); then\n    compadd -- " << joined(first_words(commands))
              << " --help --version\n    return\nfi\n";
    for (const auto& [first, words] : second_words(commands))
        std::cout << "if [[ $command == " << first << " ]]; then\n    if (( CURRENT == 3 )); then\n        compadd -- "
                  << joined(words) << "\n        return\n    fi\n    command+=\" $words[3]\"\n    shift words\n"
                  << "    (( CURRENT-- ))\nfi\n";
    std::cout << "shift words\n(( CURRENT-- ))\ncase $command in\n";
    for (const auto& command : commands) {
        std::cout << "    '" << command.name << "')\n        specs=(\n";
        for (const auto* option : command.options) {
            const Offer offer(*option);
            const bool repeats = option->shape == Shape::list || option->shape == Shape::map;
            std::cout << "            '" << (repeats ? "*" : "") << "--" << option->name << '[' << zsh(option->help)
                      << ']';
            if (option->shape == Shape::variant)
                std::cout << "::" << zsh(option->value) << ": ";
            else if (option->shape != Shape::flag)
                std::cout << ':' << zsh(option->value) << ':'
                          << (!offer.choices.empty() ? "(" + joined(offer.choices) + ")"
                              : offer.file           ? "_files"
                              : offer.directory      ? "_files -/"
                                                     : " ");
            std::cout << "'\n";
        }
        if (command.options.empty())
            std::cout << "            '--config[the configuration]:FILE:_files'\n";
        std::cout << "        ) ;;\n";
    }
    std::cout << "esac\n_arguments -S $specs '--help[show the options]' '*:::program:_normal'\n";
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string what = argc == 2 ? argv[1] : "";
    if (what == "man")
        write_manual(read_commands());
    else if (what == "man-config")
        write_config_manual();
    else if (what == "bash")
        write_bash(read_commands());
    else if (what == "zsh")
        write_zsh(read_commands());
    else {
        std::cerr << "usage: generate man | man-config | bash | zsh\n";
        return 2;
    }
    return std::cout.flush() ? 0 : 1;
}
