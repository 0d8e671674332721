// SPDX-License-Identifier: MIT
#include "metrics/exposition.hpp"

#include <array>
#include <charconv>
#include <cstddef>

namespace instancer::daemon {

namespace {

std::string escaped(std::string_view value)
{
    std::string text;
    for (const char c : value)
        if (c == '\n')
            text += "\\n";
        else
            text += (c == '\\' || c == '"' ? "\\" : "") + std::string(1, c);
    return text;
}

/// The shortest text that reads as the same number.
std::string number(double value)
{
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end.ptr};
}

/// Without the braces.
std::string joined_labels(Exposition::Labels labels)
{
    std::string text;
    for (const auto& [name, value] : labels)
        text += (text.empty() ? "" : ",") + std::string(name) + "=\"" + escaped(value) + '"';
    return text;
}

}  // namespace

void Exposition::begin(const MetricFamily& family)
{
    const auto name = std::string(family.name);
    text_ += "# HELP " + name + " " + std::string(family.help) + "\n# TYPE " + name + " " +
             std::string(name_of(family.kind)) + "\n";
}

void Exposition::sample(const MetricFamily& family, Labels labels, double value)
{
    line(family.name, "", joined_labels(labels), value);
}

void Exposition::sample(const MetricFamily& family, Labels labels, const Histogram& histogram)
{
    const auto common = joined_labels(labels);
    const auto bucket = [&](std::string_view bound, std::uint64_t count) {
        line(family.name, "_bucket", common + (common.empty() ? "" : ",") + "le=\"" + std::string(bound) + '"',
             static_cast<double>(count));
    };
    // Before the counts, so that a time that comes meanwhile is not in the sum alone.
    const auto sum = histogram.sum();
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < Histogram::bounds.size(); ++i) {
        count += histogram.count(i);
        bucket(number(Histogram::bounds[i]), count);
    }
    count += histogram.count(Histogram::bounds.size());
    bucket("+Inf", count);
    line(family.name, "_sum", common, sum);
    line(family.name, "_count", common, static_cast<double>(count));
}

void Exposition::line(std::string_view name, std::string_view suffix, const std::string& labels, double value)
{
    text_ += std::string(name) + std::string(suffix) + (labels.empty() ? "" : "{" + labels + "}") + " " +
             number(value) + "\n";
}

}  // namespace instancer::daemon
