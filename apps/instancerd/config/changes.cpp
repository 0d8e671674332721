// SPDX-License-Identifier: MIT
#include "config/changes.hpp"

#include <algorithm>

#include "config/json.hpp"

namespace instancer::daemon {

namespace {

const Node* find(const Node& object, std::string_view name)
{
    const auto& members = object.members();
    const auto found =
        std::find_if(members.begin(), members.end(), [&](const auto& member) { return member.name() == name; });
    return found == members.end() ? nullptr : &found->value();
}

bool is_same(const Node& a, const Node& b)
{
    return a.kind() == b.kind() && a.text() == b.text() &&
           std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), is_same) &&
           std::equal(
               a.members().begin(), a.members().end(), b.members().begin(), b.members().end(),
               [](const auto& x, const auto& y) { return x.name() == y.name() && is_same(x.value(), y.value()); });
}

void compare(const Node& before, const Node& now, const std::string& path, std::vector<std::string>& changes)
{
    if (before.kind() != Node::Kind::object || now.kind() != Node::Kind::object) {
        if (!is_same(before, now))
            changes.push_back(path);
        return;
    }
    const auto below = [&](const std::string& name) { return path.empty() ? name : path + "." + name; };
    for (const auto& member : before.members()) {
        if (const auto* const other = find(now, member.name()))
            compare(member.value(), *other, below(member.name()), changes);
        else
            changes.push_back(below(member.name()));
    }
    for (const auto& member : now.members())
        if (!find(before, member.name()))
            changes.push_back(below(member.name()));
}

}  // namespace

Parsed<std::vector<std::string>> changes_between(std::string_view before, std::string_view now, const std::string& file)
{
    Problems ignored, problems;
    const auto old_root = parse_json(before, ignored), new_root = parse_json(now, problems);
    if (!problems.empty())
        return wrong(problems.front().format(file));
    std::vector<std::string> changes;
    if (old_root && new_root)
        compare(*old_root, *new_root, "", changes);
    return changes;
}

}  // namespace instancer::daemon
