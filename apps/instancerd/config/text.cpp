// SPDX-License-Identifier: MIT
#include "config/text.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace instancer::daemon {

namespace {

/// The length of the UTF-8 character at the start of `text` that may be printed as it is; 0 for anything else.
std::size_t printable(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
    const auto first = byte(0), second = byte(1);
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    if (first >= 0xc2 && first <= 0xdf)  // U+0080 to U+009F are control characters.
        return continues(1) && (first > 0xc2 || second >= 0xa0) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool shortest = first > 0xe0 || second >= 0xa0, no_surrogate = first != 0xed || second < 0xa0;
        return continues(1) && continues(2) && shortest && no_surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool in_range = (first > 0xf0 || second >= 0x90) && (first < 0xf4 || second < 0x90);
        return continues(1) && continues(2) && continues(3) && in_range ? 4 : 0;
    }
    return 0;
}

}  // namespace

std::string one_line(std::string_view text, std::size_t limit)
{
    std::string line;
    std::size_t i = 0;
    while (i < text.size() && i < limit) {
        if (const auto length = printable(text.substr(i))) {
            line += text.substr(i, length);
            i += length;
            continue;
        }
        char escape[5];
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[i])));
        line += text[i] == '\t' ? "\\t" : text[i] == '\n' ? "\\n" : text[i] == '\r' ? "\\r" : escape;
        ++i;
    }
    if (i < text.size())
        line += " ... (" + std::to_string(text.size() - i) + " bytes more)";
    return line;
}

std::string in_quotes(std::string_view text) { return "'" + one_line(text, 100) + "'"; }

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates)
{
    // Restricted Damerau-Levenshtein distance: a swap of neighbours is one mistake.
    const auto distance = [](std::string_view a, std::string_view b) {
        std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
        for (std::size_t i = 0; i <= a.size(); ++i)
            d[i][0] = i;
        std::iota(d[0].begin(), d[0].end(), std::size_t{0});
        for (std::size_t i = 1; i <= a.size(); ++i)
            for (std::size_t j = 1; j <= b.size(); ++j) {
                d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
            }
        return d[a.size()][b.size()];
    };
    std::string_view best;
    if (word.size() > 64)
        return best;
    std::size_t least = std::max<std::size_t>(word.size() / 3, 1) + 1;
    for (const auto candidate : candidates)
        if (const auto d = distance(word, candidate); d < least) {
            least = d;
            best = candidate;
        }
    return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates, std::string_view prefix)
{
    const auto found = nearest(word, candidates);
    return found.empty() ? std::string() : "; did you mean " + std::string(prefix) + std::string(found) + "?";
}

std::string counted(std::size_t count, std::string_view thing, std::string_view plural)
{
    const auto number = std::to_string(count) + " ";
    if (count != 1 && !plural.empty())
        return number + std::string(plural);
    return number + std::string(thing) + (count == 1 ? "" : "s");
}

std::string alternatives(const std::vector<std::string_view>& words)
{
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i)
        text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
    return text;
}

std::vector<std::string> words_of(std::string_view line)
{
    constexpr std::string_view blanks = " \t\r";
    std::vector<std::string> words;
    for (auto begin = line.find_first_not_of(blanks); begin != line.npos;) {
        const auto end = std::min(line.find_first_of(blanks, begin), line.size());
        words.emplace_back(line.substr(begin, end - begin));
        begin = line.find_first_not_of(blanks, end);
    }
    return words;
}

}  // namespace instancer::daemon
