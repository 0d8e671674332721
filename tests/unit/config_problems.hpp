// SPDX-License-Identifier: MIT
// All that is wrong with a configuration or a command line, for tests of what is refused.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <holds.hpp>

#include "config/command_line.hpp"
#include "config/config.hpp"
#include "config/validate.hpp"

namespace config_test {

using namespace instancer::daemon;

/// All problems of a configuration, as `check` prints them, in the order of their lines.
inline std::vector<std::string> problems_of(const std::string& text)
{
    Problems problems;
    const auto settings = read_config("/c.json", text, problems);
    for (auto& problem : validate(settings))
        problems.push_back(std::move(problem));
    sort(problems);
    std::vector<std::string> lines;
    for (const auto& problem : problems)
        lines.push_back(problem.format("c.json"));
    return lines;
}

/// One service on lines of its own: `{"services": {"s": {` is line 1, `body` begins on line 2.
inline std::string service(const std::string& body) { return "{\"services\": {\"s\": {\n" + body + "\n}}}"; }

/// The problems of an exec service that is well but for `body`.
inline std::vector<std::string> exec_problems(const std::string& body)
{
    return problems_of(service("\"mode\": \"exec\", \"listen\": \":1\", \"command\": [\"/bin/cat\"],\n" + body));
}

inline std::vector<std::string> docker_problems(const std::string& body)
{
    return problems_of(service("\"mode\": \"docker\", \"listen\": \":1\", \"image\": \"i\",\n" + body));
}

/// What a wrong command line is answered with: the usage error, or all problems.
inline std::string complaint(const std::vector<std::string>& arguments)
{
    const auto command = parse_command_line(arguments);
    if (command.kind == Command::Kind::misuse)
        return command.text;
    std::string text;
    for (const auto& problem : command.problems)
        text += problem.format("") + "\n";
    for (const auto& problem : validate(command.settings))
        text += problem.format("") + "\n";
    return text;
}

/// Exactly one problem, on line 3, that begins with `path` and holds `part`.
inline bool only(const std::vector<std::string>& problems, const std::string& path, const std::string& part)
{
    CAPTURE(part);
    std::string all;
    for (const auto& problem : problems)
        all += problem + "\n";
    INFO(all);
    const bool right = problems.size() == 1 && problems[0].find("c.json:3: $.services.s." + path + ": ") == 0 &&
                       problems[0].find(part) != std::string::npos;
    CHECK(right);
    return right;
}

}  // namespace config_test
