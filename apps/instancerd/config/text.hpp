// SPDX-License-Identifier: MIT
// What is done to text that somebody is to read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/text/split.hpp>

namespace instancer::daemon {

/// `text` in one line that no terminal acts upon: control characters and bytes that are no UTF-8 read as `\x1b`;
/// of more than `limit` bytes the rest is left out, and said to be.
std::string one_line(std::string_view text, std::size_t limit = 2000);

/// `'text'`, to stand within a sentence: in one line, and short.
std::string in_quotes(std::string_view text);

/// The candidate that `word` was probably meant to be; empty when none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// `; did you mean X?`, or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates,
                       std::string_view prefix = {});

/// `1 token`, `2 tokens`; `plural` is for a word that has another one than with an s.
std::string counted(std::size_t count, std::string_view thing, std::string_view plural = {});

/// `a, b`, or with something else between the words.
template <class Words>
std::string joined(const Words& words, std::string_view between = ", ")
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? std::string() : std::string(between)) + std::string(word);
    return text;
}

/// `a, b or c`
std::string alternatives(const std::vector<std::string_view>& words);

using instancer::split;

/// The words of a line, between blanks.
std::vector<std::string> words_of(std::string_view line);

}  // namespace instancer::daemon
