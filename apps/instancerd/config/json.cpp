// SPDX-License-Identifier: MIT
#include "config/json.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <unordered_map>
#include <utility>

#include <nlohmann/json.hpp>

namespace instancer::daemon {

namespace {

/// How far the parser has read.
class Position {
public:
    void pass(char c) noexcept
    {
        if (last_ == '\n')
            ++line_;
        last_ = c;
    }

    /// The line of the last character read. A line's end still belongs to it, because the parser reads one character
    /// beyond a number.
    int line() const noexcept { return line_; }

private:
    int line_ = 1;
    char last_ = 0;
};

/// Tells a Position about every character that it passes.
class CountingIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, Position& position) : at_(at), position_(&position) {}

    reference operator*() const noexcept { return *at_; }
    CountingIterator& operator++() noexcept
    {
        position_->pass(*at_++);
        return *this;
    }
    CountingIterator operator++(int) noexcept
    {
        auto old = *this;
        ++*this;
        return old;
    }
    friend bool operator==(const CountingIterator& a, const CountingIterator& b) noexcept { return a.at_ == b.at_; }

private:
    const char* at_;
    Position* position_;
};

bool is_plain(const std::string& key)
{
    return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

/// Builds the tree from the events of the parser.
class Builder : public nlohmann::json_sax<nlohmann::json> {
public:
    Builder(const Position& position, Problems& problems) : position_(position), problems_(problems) {}

    std::optional<Node> take() { return std::move(root_); }

    bool null() override { return value(Node::Kind::null, "null"); }
    bool boolean(bool v) override { return value(Node::Kind::boolean, v ? "true" : "false"); }
    bool number_integer(number_integer_t v) override { return value(Node::Kind::number, std::to_string(v)); }
    bool number_unsigned(number_unsigned_t v) override { return value(Node::Kind::number, std::to_string(v)); }
    bool number_float(number_float_t, const string_t& written) override { return value(Node::Kind::number, written); }
    bool string(string_t& v) override { return value(Node::Kind::string, v); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Node::Kind::object); }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(Node::Kind::array); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override
    {
        auto& level = levels_.back();
        level.key = name;
        level.key_place = Place(position_.line(), member_path(level.node, name));
        const auto [earlier, is_new] = level.lines.emplace(name, position_.line());
        level.duplicate = !is_new;
        if (level.duplicate)
            problems_.emplace_back(level.key_place, "is there twice, first on line " + std::to_string(earlier->second) +
                                                        "; keep one of them");
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override
    {
        std::string text = error.what();
        // Only what follows `parse error at line L, column C: `; the line is known better here.
        if (const auto column = text.find(", column "); column != text.npos)
            if (const auto end = text.find(": ", column); end != text.npos)
                text.erase(0, end + 2);
        const auto says = [&](std::string_view part) { return text.find(part) != text.npos; };
        if (says("unexpected '}'; expected string literal") || says("unexpected ']'; expected '['"))
            text += "; remove the comma before it";
        else if (says("unexpected string literal; expected"))
            text += "; is a comma missing before it?";
        const auto path = levels_.empty() ? std::string("$") : levels_.back().node.place().path();
        problems_.emplace_back(Place(position_.line(), path), "not JSON: " + text);
        return false;
    }

private:
    class Level {
    public:
        explicit Level(Node n) : node(std::move(n)) {}

        Node node;
        std::string key;
        Place key_place;
        std::unordered_map<std::string, int> lines;  ///< Of the keys so far.
        bool duplicate = false;
    };

    static constexpr std::size_t most_levels = 32;

    static std::string member_path(const Node& object, const std::string& key)
    {
        const auto& path = object.place().path();
        return is_plain(key) ? path + "." + key : path + "[" + nlohmann::json(key).dump() + "]";
    }

    Place next_place() const
    {
        const int line = position_.line();
        if (levels_.empty())
            return Place(line, "$");
        const auto& level = levels_.back();
        if (level.node.kind() == Node::Kind::object)
            return Place(line, level.key_place.path());
        return Place(line, level.node.place().path() + "[" + std::to_string(level.node.items().size()) + "]");
    }

    bool value(Node::Kind kind, std::string text)
    {
        add(Node(kind, next_place(), std::move(text)));
        return true;
    }

    bool open(Node::Kind kind)
    {
        if (levels_.size() == most_levels) {
            problems_.emplace_back(next_place(), "is nested too deeply; no configuration needs that");
            return false;
        }
        levels_.emplace_back(Node(kind, next_place()));
        return true;
    }

    bool close()
    {
        auto node = std::move(levels_.back().node);
        levels_.pop_back();
        add(std::move(node));
        return true;
    }

    void add(Node node)
    {
        if (levels_.empty()) {
            root_ = std::move(node);
            return;
        }
        auto& level = levels_.back();
        if (level.node.kind() == Node::Kind::array)
            level.node.items().push_back(std::move(node));
        else if (!level.duplicate)
            level.node.members().emplace_back(level.key, level.key_place, std::move(node));
    }

    const Position& position_;
    Problems& problems_;
    std::vector<Level> levels_;
    std::optional<Node> root_;
};

}  // namespace

std::string_view Node::describe(Kind kind)
{
    switch (kind) {
    case Kind::null: return "null";
    case Kind::boolean: return "true or false";
    case Kind::number: return "a number";
    case Kind::string: return "a string";
    case Kind::array: return "an array";
    case Kind::object: return "an object";
    }
    return "something else";
}

std::optional<Node> parse_json(std::string_view text, Problems& problems)
{
    Position position;
    Builder builder(position, problems);
    const bool good = nlohmann::json::sax_parse(CountingIterator(text.data(), position),
                                                CountingIterator(text.data() + text.size(), position), &builder,
                                                nlohmann::json::input_format_t::json, true, true);
    return good ? builder.take() : std::nullopt;
}

}  // namespace instancer::daemon
