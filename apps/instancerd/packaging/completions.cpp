// SPDX-License-Identifier: MIT
// Completions for the shells.
#include "generate.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace generate {

namespace {

/// The second words of the commands that begin with each word and have two.
std::map<std::string, std::vector<std::string>> second_words()
{
    std::map<std::string, std::vector<std::string>> result;
    for (const auto& command : commands())
        if (const auto words = split(command.words, ' '); words.size() == 2)
            result[words[0]].push_back(words[1]);
    return result;
}

/// Whether the word is a command by itself, beside those that begin with it.
bool is_command(std::string_view word)
{
    const auto all = commands();
    return std::any_of(all.begin(), all.end(), [&](const auto& command) { return command.words == word; });
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

/// `--log`, or `-l --log`.
std::vector<std::string> flags_of(const Option& option)
{
    std::vector<std::string> flags;
    if (option.traits.letter)
        flags.push_back(std::string("-") + option.traits.letter);
    flags.push_back("--" + std::string(option.name));
    return flags;
}

/// The words that the shell is to offer for the value.
std::string choices_of(const Option& option) { return joined(option.type.choices, " "); }

/// What zsh does for the value.
std::string zsh_action(const Option& option)
{
    if (!option.type.choices.empty())
        return "(" + choices_of(option) + ")";
    return takes_file(option) ? "_files" : takes_directory(option) ? "_files -/" : " ";
}

std::string zsh_spec(const Option& option)
{
    const auto flags = flags_of(option);
    auto spec = option.repeats()    ? "'*'" + flags.back()
                : flags.size() == 1 ? flags.back()
                                    : "'(" + joined(flags, " ") + ")'{" + joined(flags, ",") + "}";
    spec += "'[" + zsh(option.help) + "]";
    if (option.type.shape == Shape::variant)
        spec += "::" + zsh(option.value()) + ":" + zsh_action(option);
    else if (takes_value(option))
        spec += ":" + zsh(option.value()) + ":" + zsh_action(option);
    return spec + "'";
}

/// Patterns of bash for `COMMAND:FLAG`. A letter may be another command's for something else.
std::string bash_patterns(const Option& option)
{
    std::string patterns = "*:--" + std::string(option.name);
    if (option.traits.letter)
        for (const auto& command : commands())
            if (command.knows(option))
                patterns += " | '" + std::string(command.words) + ":-" + option.traits.letter + "'";
    return patterns;
}

/// What bash does after an option; empty for one that takes no value.
std::string bash_action(const Option& option)
{
    if (option.type.shape == Shape::flag)
        return {};
    if (option.type.shape == Shape::variant)
        return "words='" + choices_of(option) + " '";
    if (!option.type.choices.empty())
        return "COMPREPLY=($(compgen -W \"" + choices_of(option) + "\" -- \"$word\")); return";
    if (takes_file(option) || takes_directory(option))
        return std::string("COMPREPLY=($(compgen ") + (takes_file(option) ? "-f" : "-d") + " -- \"$word\")); return";
    return "return";
}

/// When fish completes the command. A word alone, as check, may be the second of other commands, as of `flag check`, or
/// the first, as of `oci prune`.
std::string fish_condition(const CommandEntry& command)
{
    std::string condition;
    const auto words = split(command.words, ' ');
    for (const auto& word : words)
        condition += (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
    if (words.size() == 1)
        for (const auto& [first, seconds] : second_words()) {
            if (std::find(seconds.begin(), seconds.end(), words[0]) != seconds.end())
                condition += "; and not __fish_seen_subcommand_from " + first;
            if (first == words[0])
                condition += "; and not __fish_seen_subcommand_from " + joined(seconds, " ");
        }
    return condition;
}

std::string fish_option(const Option& option)
{
    auto line = " -l " + std::string(option.name);
    if (option.traits.letter)
        line += std::string(" -s ") + option.traits.letter;
    if (!option.type.choices.empty())
        line += (takes_value(option) ? " -x -a " : " -f -a ") + fish(choices_of(option));
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
              << joined(first_words(), " ") << R"( --help --version" -- "$word"))
        return
    fi
)";
    for (const auto& [first, words] : second_words()) {
        // Beside a command of one word, the second is one of several that may follow.
        const bool alone = is_command(first);
        std::cout << "    if [[ $command == " << first
                  << " ]]; then\n        if ((COMP_CWORD == 2)); then\n            "
                  << (alone
                          ? "words='" + joined(words, " ") + " '"
                          : "COMPREPLY=($(compgen -W \"" + joined(words, " ") + "\" -- \"$word\"))\n            return")
                  << "\n        elif [[ ' " << joined(words, " ") << " ' == *\" ${COMP_WORDS[2]} \"* ]]; then\n"
                  << "            command+=\" ${COMP_WORDS[2]}\"\n        fi\n    fi\n";
    }
    std::cout
        << "    case $command:$previous in\n        *:--config) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n";
    for (const auto& option : options())
        if (const auto action = bash_action(option); !action.empty())
            std::cout << "        " << bash_patterns(option) << ") " << action << " ;;\n";
    std::cout << "    esac\n    case $command in\n";
    for (const auto& command : commands()) {
        std::string names = command.reads_configuration() ? "--config " : "";
        if (!command.flag.empty())
            names += "--" + std::string(command.flag) + " ";
        for (const auto* option : options_of(command))
            names += joined(flags_of(*option), " ") + " ";
        std::cout << "        '" << command.words << "') words+='" << names << "--help' ;;\n";
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
              << "if (( CURRENT == 2 )); then\n    compadd -- " << joined(first_words(), " ")
              << " --help --version\n    return\nfi\n";
    for (const auto& [first, words] : second_words())
        std::cout << "if [[ $command == " << first << " ]]; then\n    if (( CURRENT == 3 )); then\n        compadd -- "
                  << joined(words, " ") << (is_command(first) ? "" : "\n        return") << "\n    elif [[ ' "
                  << joined(words, " ") << " ' == *\" $words[3] \"* ]]; then\n"
                  << "        command+=\" $words[3]\"\n        shift words\n        (( CURRENT-- ))\n    fi\nfi\n";
    std::cout << "shift words\n(( CURRENT-- ))\ncase $command in\n";
    for (const auto& command : commands()) {
        std::cout << "    '" << command.words << "')\n        specs=(\n";
        if (command.reads_configuration())
            std::cout << "            '--config[the configuration]:FILE:_files'\n";
        if (!command.flag.empty())
            std::cout << "            '--" << command.flag << "[" << command.flag_help << "]'\n";
        for (const auto* option : options_of(command))
            std::cout << "            " << zsh_spec(*option) << "\n";
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
        complete("__fish_seen_subcommand_from " + first + "; and not __fish_seen_subcommand_from " + joined(words, " "),
                 " -a " + fish(joined(words, " ")));
    for (const auto& command : commands()) {
        const auto when = fish_condition(command);
        if (command.reads_configuration())
            complete(when, " -l config -r -F -d 'the configuration'");
        if (!command.flag.empty())
            complete(when, " -l " + std::string(command.flag) + " -d " + fish(std::string(command.flag_help)));
        for (const auto* option : options_of(command))
            complete(when, fish_option(*option));
    }
}

}  // namespace generate
