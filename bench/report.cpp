// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include <nlohmann/json.hpp>

namespace bench {

double median(std::vector<double> values)
{
    std::erase_if(values, [](double value) { return std::isnan(value); });
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Table::add(const std::string& subject, double value)
{
    if (std::find(order_.begin(), order_.end(), subject) == order_.end())
        order_.push_back(subject);
    samples_[subject].push_back(value);
}

void Table::complete(const std::string& subject, int rounds)
{
    samples_[subject].resize(static_cast<std::size_t>(rounds), std::numeric_limits<double>::quiet_NaN());
}

double Table::ratio(const std::string& subject, const std::string& other) const
{
    const auto& ours = samples_.at(subject);
    const auto& theirs = samples_.at(other);
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
        ratios.push_back(ours[i] / theirs[i]);
    return median(std::move(ratios));
}

double Table::median_of(const std::string& subject) const { return median(samples_.at(subject)); }

void Table::print(const std::string& baseline) const
{
    std::printf("\n%s (%s, %s is better)\n", work_.c_str(), unit_.c_str(), more_is_better_ ? "more" : "less");
    std::printf("  %-34s %12s %12s %12s   %s\n", "", "median", "min", "max", ("/ " + baseline).c_str());
    for (const auto& subject : order_) {
        auto values = samples_.at(subject);
        std::erase_if(values, [](double value) { return std::isnan(value); });
        const auto [least, most] = std::minmax_element(values.begin(), values.end());
        std::printf("  %-34s %12.1f %12.1f %12.1f   %.2f\n", subject.c_str(), median(values), *least, *most,
                    ratio(subject, baseline));
    }
    std::fflush(stdout);
}

std::string Table::json(const std::string& baseline) const
{
    nlohmann::json subjects;
    for (const auto& subject : order_)
        subjects[subject] = {{"samples", samples_.at(subject)},
                             {"median", median(samples_.at(subject))},
                             {"ratio", ratio(subject, baseline)}};
    return nlohmann::json{{"work", work_}, {"unit", unit_}, {"baseline", baseline}, {"subjects", subjects}}.dump();
}

namespace {

std::string number(double value, int digits)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string label(double x, double y, const std::string& style, const std::string& text)
{
    return "<text x=\"" + number(x, 0) + "\" y=\"" + number(y, 0) + "\"" + style + ">" + text + "</text>\n";
}

}  // namespace

std::string plot(const std::vector<Outcome>& outcomes)
{
    constexpr double names = 260, unit = 150, longest = 4, row = 18, gap = 26, width = names + unit * longest + 190;
    double y = 10;
    std::string body;
    for (const auto& [table, baseline] : outcomes) {
        y += gap;
        body += label(10, y, " font-weight=\"bold\"",
                      table.work() + " (" + (table.more_is_better() ? "more" : "less") + " is better)");
        const double top = y + 4;
        for (const auto& subject : table.subjects()) {
            y += row;
            const double ratio = table.ratio(subject, baseline), shown = std::min(ratio, longest);
            body += label(names - 8, y, " text-anchor=\"end\"", subject);
            body += "<rect x=\"" + number(names, 0) + "\" y=\"" + number(y - 11, 0) + "\" width=\"" +
                    number(std::max(1.0, shown * unit), 1) + "\" height=\"13\" fill=\"" +
                    (subject.starts_with("instancerd") ? "#2a6fb0" : "#b0b0b0") + "\"/>\n";
            body +=
                label(names + shown * unit + 6, y, "",
                      number(ratio, 2) + (ratio > longest ? " (cut off)" : "") + ", " +
                          number(table.median_of(subject), table.median_of(subject) < 10 ? 2 : 0) + " " + table.unit());
        }
        body += "<line x1=\"" + number(names + unit, 0) + "\" x2=\"" + number(names + unit, 0) + "\" y1=\"" +
                number(top, 0) + "\" y2=\"" + number(y + 4, 0) + "\" stroke=\"#c04040\"/>\n";
        body += label(names + unit + 4, top - 6, " fill=\"#c04040\" font-size=\"10\"", baseline + " = 1");
    }
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width, 0) + "\" height=\"" +
           number(y + 20, 0) +
           "\" font-family=\"sans-serif\" font-size=\"12\">\n"
           "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" +
           body + "</svg>\n";
}

}  // namespace bench
