// SPDX-License-Identifier: MIT
#include "ctl/ctl_table.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "config/text.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

namespace {

using Row = std::vector<std::string>;

/// The members of rows that are for programs alone, or too long.
bool is_hidden(std::string_view member) { return member == "options" || member == "places"; }

std::string time_of(double seconds)
{
    if (seconds < 60)
        return print_duration(std::chrono::seconds(std::lround(seconds)));
    const auto minutes = std::lround(seconds) / 60;
    if (minutes < 60)
        return std::to_string(minutes) + "m" + std::to_string(std::lround(seconds) % 60) + "s";
    return std::to_string(minutes / 60) + "h" + std::to_string(minutes % 60) + "m";
}

std::string bytes_of(std::uint64_t bytes)
{
    constexpr std::string_view units = "kMGT";
    if (bytes < 10'000)
        return std::to_string(bytes);
    double size = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (size /= 1000; size >= 1000 && unit + 1 < units.size(); size /= 1000)
        ++unit;
    return std::to_string(std::lround(size)) + units[unit];
}

std::string cell_of(std::string_view member, const Json& value)
{
    if (value.is_null())
        return "-";
    if (member == "age" || member == "idle" || member == "time_left" || member == "uptime")
        return time_of(value.get<double>());
    if (member.starts_with("bytes_"))
        return bytes_of(value.get<std::uint64_t>());
    std::string text;
    if (value.is_array())
        for (const auto& one : value)
            text += (text.empty() ? "" : " ") + (one.is_string() ? one.get<std::string>() : text_of(one));
    else
        text = value.is_string() ? value.get<std::string>() : text_of(value);
    return text.empty() ? "-" : one_line(text, 200);
}

std::string title_of(std::string_view member)
{
    std::string title;
    for (const char c : one_line(member))
        title += c == '_' ? '-' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return title;
}

std::string aligned(const std::vector<Row>& rows)
{
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size())
                line += std::string(widths[i] - row[i].size() + 2, ' ');
        }
        text += line + "\n";
    }
    return text;
}

/// A column for each member of the first row.
std::string list_of(const Json& items)
{
    std::vector<Row> rows;
    for (const auto& item : items) {
        Row titles, row;
        for (const auto& [member, value] : item.items()) {
            // What is part of the id needs no column.
            if (is_hidden(member) || (member == "service" && item.contains("id") && item["id"].is_string()))
                continue;
            titles.push_back(title_of(member));
            row.push_back(cell_of(member, value));
        }
        if (rows.empty())
            rows.push_back(std::move(titles));
        rows.push_back(std::move(row));
    }
    return aligned(rows);
}

}  // namespace

std::string line_of_event(const Json& event)
{
    std::string line;
    for (const std::string_view member : {"time", "event", "service"})
        line += (line.empty() ? "" : " ") + cell_of(member, event.value(std::string(member), Json()));
    for (const auto& [member, value] : event.items()) {
        const bool is_shown = member == "id" || member == "time" || member == "event" || member == "service";
        const bool is_empty = value == Json("") || value == Json(0);
        if (!is_shown && !is_empty)
            line += " " + one_line(member) + "=" + cell_of(member, value);
    }
    return line;
}

std::string table_of(std::string_view list, const Json& answer)
{
    const std::string member(list);
    if (!answer.contains(member) || !answer[member].is_array()) {
        std::vector<Row> rows;
        for (const auto& [name, value] : answer.items())
            if (!value.is_object())
                rows.push_back({one_line(name), cell_of(name, value)});
            else
                for (const auto& [inner, one] : value.items())
                    rows.push_back({one_line(name + "." + inner), cell_of(inner, one)});
        return aligned(rows);
    }
    std::string text;
    if (list == "events")
        for (const auto& event : answer[member])
            text += line_of_event(event) + "\n";
    else
        text = list_of(answer[member]);
    if (const auto restarts = answer.value("restarts", Json::array()); !restarts.empty())
        text += "(a restart of the daemon is needed for " + cell_of("restarts", restarts) + ")\n";
    if (const auto unanswered = answer.value("unanswered", 0); unanswered > 0)
        text += "(" + counted(static_cast<std::size_t>(unanswered), "session") + " did not answer in time)\n";
    if (text.empty())
        return list == "reload" ? "the configuration is as it was\n" : "none\n";
    return text;
}

}  // namespace instancer::daemon
