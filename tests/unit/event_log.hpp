// SPDX-License-Identifier: MIT
// What the library reports, as lines.
#pragma once

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/events.hpp>

class EventLog final : public instancer::Events {
public:
    bool fails_at_sessions = false;  ///< It throws when one starts.

    std::vector<std::string> lines() const
    {
        const std::lock_guard lock(mutex_);
        return lines_;
    }

    std::vector<instancer::SessionSummary> sessions() const
    {
        const std::lock_guard lock(mutex_);
        return sessions_;
    }

    std::vector<instancer::InstanceSummary> instances() const
    {
        const std::lock_guard lock(mutex_);
        return instances_;
    }

    bool has(std::string_view line) const { return count(line) != 0; }

    std::size_t count(std::string_view line) const
    {
        const auto all = lines();
        return static_cast<std::size_t>(std::count(all.begin(), all.end(), line));
    }

    std::size_t count_beginning(std::string_view begin) const
    {
        const auto all = lines();
        return static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [begin](const auto& line) { return line.starts_with(begin); }));
    }

private:
    void add(std::string line)
    {
        const std::lock_guard lock(mutex_);
        lines_.push_back(std::move(line));
    }

    void listening(std::string_view, std::string_view address) override { add("listening " + std::string(address)); }
    void session_started(std::string_view, std::uint64_t id, const instancer::ClientInfo&) override
    {
        add("session " + std::to_string(id));
        if (fails_at_sessions)
            throw std::runtime_error("broken observer");
    }
    void session_ended(const instancer::SessionSummary& summary) override
    {
        add("session " + std::to_string(summary.id) + ": " + std::string(to_string(summary.end)));
        const std::lock_guard lock(mutex_);
        sessions_.push_back(summary);
    }
    void instance_started(std::string_view, std::string_view name, std::string_view owner) override
    {
        add("started " + std::string(name) + (owner.empty() ? " warm" : ""));
    }
    void instance_claimed(std::string_view, std::string_view name, std::string_view) override
    {
        add("claimed " + std::string(name));
    }
    void instance_adopted(std::string_view, std::string_view name, std::string_view) override
    {
        add("adopted " + std::string(name));
    }
    void instance_ended(const instancer::InstanceSummary& summary) override
    {
        add("ended " + summary.name + ": " + std::string(to_string(summary.end)));
        const std::lock_guard lock(mutex_);
        instances_.push_back(summary);
    }
    void warning(std::string_view, std::string_view text) override { add("warning: " + std::string(text)); }

    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
    std::vector<instancer::SessionSummary> sessions_;
    std::vector<instancer::InstanceSummary> instances_;
};
