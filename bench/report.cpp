// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace bench {

double median(std::vector<double> values)
{
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Table::add(const std::string& subject, double value)
{
    if (!samples_.contains(subject))
        order_.push_back(subject);
    samples_[subject].push_back(value);
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

void Table::print(const std::string& baseline) const
{
    std::printf("\n%s (%s, %s is better)\n", work_.c_str(), unit_.c_str(), more_is_better_ ? "more" : "less");
    std::printf("  %-34s %12s %12s %12s   %s\n", "", "median", "min", "max", ("/ " + baseline).c_str());
    for (const auto& subject : order_) {
        const auto& values = samples_.at(subject);
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
        subjects[subject] = {{"samples", samples_.at(subject)}, {"median", median(samples_.at(subject))},
                             {"ratio", ratio(subject, baseline)}};
    return nlohmann::json{{"work", work_}, {"unit", unit_}, {"baseline", baseline}, {"subjects", subjects}}.dump();
}

}  // namespace bench
