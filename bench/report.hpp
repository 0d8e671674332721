// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bench {

double median(std::vector<double> values);

/// Samples of several subjects on the same work, taken in turn; printed as medians and as ratios round by round.
class Table {
public:
    Table(std::string work, std::string unit, bool more_is_better)
        : work_(std::move(work)), unit_(std::move(unit)), more_is_better_(more_is_better)
    {
    }

    void add(const std::string& subject, double value);

    /// So many rounds are over: what the subject lacks of them, because it failed, is left out, and those that follow
    /// keep their numbers.
    void complete(const std::string& subject, int rounds);

    /// The median over the rounds of subject / other.
    double ratio(const std::string& subject, const std::string& other) const;

    /// Prints every subject's median, minimum and maximum, and its ratio to `baseline`.
    void print(const std::string& baseline) const;

    /// One JSON object on one line.
    std::string json(const std::string& baseline) const;

    const std::string& work() const noexcept { return work_; }
    const std::string& unit() const noexcept { return unit_; }
    bool more_is_better() const noexcept { return more_is_better_; }

    /// In the order in which they were measured.
    const std::vector<std::string>& subjects() const noexcept { return order_; }
    double median_of(const std::string& subject) const;

private:
    std::string work_, unit_;
    bool more_is_better_;
    std::vector<std::string> order_;
    std::map<std::string, std::vector<double>> samples_;
};

/// A table and what its ratios refer to.
class Outcome {
public:
    Outcome(Table measured, std::string reference) : table(std::move(measured)), baseline(std::move(reference)) {}

    Table table;
    std::string baseline;
};

/// An SVG plot: for each work a bar for each subject, as long as its ratio to the baseline.
std::string plot(const std::vector<Outcome>& outcomes);

}  // namespace bench
