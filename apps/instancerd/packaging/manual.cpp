// SPDX-License-Identifier: MIT
// The manual pages.
#include "generate.hpp"

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/version.hpp>

#include "config/command_line.hpp"

namespace generate {

namespace {

/// The paragraph of --help that follows the options.
std::vector<std::string> notes()
{
    const auto lines = split(instancer::daemon::parse_command_line({"--help"}).text, '\n');
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

/// What an option does, its default included.
std::string description(const Option& option)
{
    auto text = roff(option.description()) + ".\n";
    if (const auto initial = option.default_value(); initial != "-")
        text += "Default: " + roff(initial) + ".\n";
    return text;
}

/// The commands that know the option: `exec, docker`.
std::string where(const Option& option)
{
    std::vector<std::string_view> knowing;
    for (const auto& command : commands())
        if (!command.is_part && command.knows(option))
            knowing.push_back(command.words);
    return joined(knowing);
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

void write_options()
{
    std::cout << ".SH OPTIONS\nAfter each option stand the commands that know it.\n";
    std::string_view group;
    for (const auto& option : options()) {
        if (option.group != group) {
            group = option.group;
            std::cout << ".SS " << roff(group) << "\n";
        }
        std::cout << ".TP\n";
        if (option.traits.letter)
            std::cout << "\\fB\\-" << option.traits.letter << "\\fR, ";
        std::cout << "\\fB\\-\\-" << roff(option.name) << "\\fR";
        if (const auto value = option.value(); !value.empty())
            std::cout << " \\fI" << roff(value) << "\\fR";
        std::cout << " (" << roff(where(option)) << ")\n" << description(option);
    }
}

}  // namespace

void write_manual()
{
    std::cout << heading("1", "INSTANCERD", "User Commands")
              << ".SH NAME\ninstancerd \\- gives every TCP client a server instance of its own\n.SH SYNOPSIS\n";
    std::vector<std::string> usage, examples;
    for (const auto& command : commands()) {
        for (const auto form : command.forms)
            if (!form.empty())
                usage.push_back("instancerd " + std::string(command.words) + " " + std::string(form));
        for (const auto example : command.examples)
            // The two ends of a tunnel show both.
            if (auto line = "instancerd " + std::string(example);
                !example.empty() && std::find(examples.begin(), examples.end(), line) == examples.end())
                examples.push_back(std::move(line));
    }
    std::cout << verbatim(usage) << about << ".SH COMMANDS\n";
    for (const auto& command : commands())
        std::cout << ".TP\n.B " << roff(command.words) << "\n" << roff(command.purpose) << "\n";
    write_options();
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
Pages on every mode, on the configuration, on operation, with all messages and what to do about them, and on security.
.SH EXAMPLES
)" << verbatim(examples)
              << ".SH SEE ALSO\n.BR instancerd.json (5),\n.BR systemd.socket (5),\n.BR tcpdump (8)\n";
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
which is "exec", "docker", "oci", "forward", "relay", "tunnel\-server" or "tunnel\-agent", and one with processes or containers may have a
.BR command ,
an array of the program and its arguments.
A key with a dot is a member of an object: limits.memory is {"limits": {"memory": "64m"}}.
Relative paths are relative to the file.
.PP
To
.I instancerd.service
the system is read\-only, but for
.IR /var/lib/instancerd ,
.I /var/log/instancerd
and
.IR /run/instancerd .
What is written, such as the user database of a tunnel (db) and recordings, belongs into the first of these, log files
into the second, and both belong to the user instancerd; Unix sockets belong into the last.
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
    for (const auto& option : options()) {
        if (option.traits.no_key)
            continue;
        if (option.group != group) {
            group = option.group;
            std::cout << ".SS " << roff(group) << "\n";
        }
        std::cout << ".TP\n\\fB" << roff(option.config_key()) << "\\fR (" << roff(shape_name(option.type.shape))
                  << ")\n"
                  << description(option);
    }
    std::cout
        << ".SH FILES\n.I /etc/instancerd/instancerd.json\n.br\n.I /var/lib/instancerd\n.br\n.I /var/log/instancerd\n"
           ".SH SEE ALSO\n.BR instancerd (1)\n";
}

}  // namespace generate
