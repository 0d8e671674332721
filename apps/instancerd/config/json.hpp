// SPDX-License-Identifier: MIT
// A JSON text as a tree whose every node knows its line and its path.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problem.hpp"

namespace instancer::daemon {

/// One value of a JSON text.
class Node {
public:
    enum class Kind { null, boolean, number, string, array, object };

    /// A member of an object; `place` is where its key stands.
    class Member;

    Node(Kind kind, Place place, std::string text = {});

    Kind kind() const noexcept { return kind_; }
    const Place& place() const noexcept { return place_; }

    /// A string's contents, a number as it was written, `true` or `false`.
    const std::string& text() const noexcept { return text_; }

    const std::vector<Node>& items() const noexcept { return items_; }
    const std::vector<Member>& members() const noexcept { return members_; }
    std::vector<Node>& items() noexcept { return items_; }
    std::vector<Member>& members() noexcept { return members_; }

    /// `a string`, `an object`: for a sentence.
    static std::string_view describe(Kind kind);

private:
    Kind kind_;
    Place place_;
    std::string text_;
    std::vector<Node> items_;
    std::vector<Member> members_;
};

class Node::Member {
public:
    Member(std::string name, Place place, Node value)
        : name_(std::move(name)), place_(std::move(place)), value_(std::move(value))
    {
    }

    const std::string& name() const noexcept { return name_; }
    const Place& place() const noexcept { return place_; }
    const Node& value() const noexcept { return value_; }

private:
    std::string name_;
    Place place_;
    Node value_;
};

inline Node::Node(Kind kind, Place place, std::string text)
    : kind_(kind), place_(std::move(place)), text_(std::move(text))
{
}

/// Parses JSON with `//` and `/* */` comments; none when it is no JSON. What is wrong is added to `problems`, duplicate
/// keys too, of which the tree holds the first.
std::optional<Node> parse_json(std::string_view text, Problems& problems);

}  // namespace instancer::daemon
