// SPDX-License-Identifier: MIT
// Completions for the shells.
#include <iostream>
#include <map>
#include <string_view>

#include "config/text.hpp"
#include "generate.hpp"

namespace generate {

namespace {

using instancer::daemon::CommandEntry;
using instancer::daemon::commands;
using instancer::daemon::first_words;
using instancer::daemon::Option;
using instancer::daemon::options;
using instancer::daemon::Shape;

template <class Words>
std::string joined(const Words& words)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : " ") + std::string(word);
    return text;
}

/// The second words of the commands that begin with each word and have two.
std::map<std::string, std::vector<std::string>> second_words()
{
    std::map<std::string, std::vector<std::string>> result;
    for (const auto& command : commands())
        if (const auto words = instancer::daemon::split(command.words, ' '); words.size() == 2)
            result[words[0]].push_back(words[1]);
    return result;
}

std::vector<const Option*> options_of(const CommandEntry& command)
{
    std::vector<const Option*> known;
    for (const auto& option : options())
        if (command.knows(option))
            known.push_back(&option);
    return known;
}

bool takes_file(const Option& option) { return option.value() == "FILE" || option.value() == "PATH"; }
bool takes_directory(const Option& option) { return option.value() == "DIR"; }
bool takes_value(const Option& option)
{
    return option.type.shape != Shape::flag && option.type.shape != Shape::variant;
}

/// `text` in single quotes of fish.
std::string fish(std::string_view text)
{
    std::string result = "'";
    for (const char c : text)
        result += (c == '\'' || c == '\\' ? "\\" : "") + std::string(1, c);
    return result + "'";
}

/// `text` for a description in square brackets inside single quotes of zsh.
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

std::string zsh_spec(const Option& option)
{
    auto spec = (option.repeats() ? "*--" : "--") + std::string(option.name) + "[" + zsh(option.help) + "]";
    if (option.type.shape == Shape::variant)
        return spec + "::" + zsh(option.value()) + ":(" + joined(option.type.choices) + ")";
    if (!takes_value(option))
        return spec;
    return spec + ":" + zsh(option.value()) + ":" +
           (!option.type.choices.empty() ? "(" + joined(option.type.choices) + ")"
            : takes_file(option)         ? "_files"
            : takes_directory(option)    ? "_files -/"
                                         : " ");
}

std::string fish_option(const Option& option)
{
    auto line = " -l " + std::string(option.name);
    if (option.traits.letter)
        line += std::string(" -s ") + option.traits.letter;
    if (!option.type.choices.empty())
        line += (takes_value(option) ? " -x -a " : " -f -a ") + fish(joined(option.type.choices));
    else if (takes_file(option))
        line += " -r -F";
    else if (takes_directory(option))
        line += " -x -a '(__fish_complete_directories)'";
    else if (takes_value(option))
        line += " -x";
    return line + " -d " + fish(option.help);
}

}  // namespace

void write_bash()
{
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
              << joined(first_words()) << R"( --help --version" -- "$word"))
        return
    fi
)";
    for (const auto& [first, words] : second_words())
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
    for (const auto& option : options()) {
        if (!takes_value(option))
            continue;
        if (!option.type.choices.empty())
            std::cout << "        --" << option.name << ") COMPREPLY=($(compgen -W \"" << joined(option.type.choices)
                      << "\" -- \"$word\")); return ;;\n";
        else
            add(takes_file(option) ? files : takes_directory(option) ? directories : others, option);
    }
    std::cout << "        " << files << ") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
              << "        " << directories << ") COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
              << "        " << others << ") return ;;\n";
    std::cout << "    esac\n    case $command in\n";
    for (const auto& command : commands()) {
        std::string names = command.reads_configuration() ? "--config " : "";
        for (const auto* option : options_of(command))
            names += "--" + std::string(option->name) + " ";
        std::cout << "        '" << command.words << "') words='" << names << "--help' ;;\n";
    }
    std::cout << R"(    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}

complete -o filenames -F _instancerd instancerd
)";
}

void write_zsh()
{
    std::cout << "#compdef instancerd\n\nlocal command=$words[2]\nlocal -a specs\n"
              << "if (( CURRENT == 2 )); then\n    compadd -- " << joined(first_words())
              << " --help --version\n    return\nfi\n";
    for (const auto& [first, words] : second_words())
        std::cout << "if [[ $command == " << first << " ]]; then\n    if (( CURRENT == 3 )); then\n        compadd -- "
                  << joined(words) << "\n        return\n    fi\n    command+=\" $words[3]\"\n    shift words\n"
                  << "    (( CURRENT-- ))\nfi\n";
    std::cout << "shift words\n(( CURRENT-- ))\ncase $command in\n";
    for (const auto& command : commands()) {
        std::cout << "    '" << command.words << "')\n        specs=(\n";
        if (command.reads_configuration())
            std::cout << "            '--config[the configuration]:FILE:_files'\n";
        for (const auto* option : options_of(command))
            std::cout << "            '" << zsh_spec(*option) << "'\n";
        std::cout << "        ) ;;\n";
    }
    std::cout << "esac\n_arguments -S $specs '--help[show the options]' '*:::program:_normal'\n";
}

void write_fish()
{
    std::cout << "# fish completion for instancerd\n\ncomplete -c instancerd -f\n";
    const auto complete = [](const std::string& when, const std::string& what) {
        std::cout << "complete -c instancerd -n " << fish(when) << what << "\n";
    };
    complete("__fish_use_subcommand", " -l help -d 'show all options'");
    complete("__fish_use_subcommand", " -l version");
    for (const auto word : first_words())
        complete("__fish_use_subcommand", " -a " + std::string(word));
    for (const auto& [first, words] : second_words())
        complete("__fish_seen_subcommand_from " + first + "; and not __fish_seen_subcommand_from " + joined(words),
                 " -a " + fish(joined(words)));
    for (const auto& command : commands()) {
        std::string when;
        for (const auto& word : instancer::daemon::split(command.words, ' '))
            when += (when.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
        if (command.reads_configuration())
            complete(when, " -l config -r -F -d 'the configuration'");
        for (const auto* option : options_of(command))
            complete(when, fish_option(*option));
    }
}

}  // namespace generate
