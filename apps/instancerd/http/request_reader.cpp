// SPDX-License-Identifier: MIT
#include "http/request_reader.hpp"

#include <optional>

#include "http/http_fields.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view head_end = "\r\n\r\n";

}  // namespace

RequestReader::State RequestReader::feed(std::string_view bytes)
{
    if (state_ != State::wants_more)
        return state_;
    if (!head_is_complete_)
        return state_ = read_head(bytes);
    body_ += bytes.substr(0, length_ - body_.size());
    return state_ = body_.size() == length_ ? State::complete : State::wants_more;
}

RequestReader::State RequestReader::read_head(std::string_view bytes)
{
    const auto looked_at = head_.size() < head_end.size() ? 0 : head_.size() - head_end.size();
    head_ += bytes;
    const auto end = head_.find(head_end, looked_at);
    if (end == head_.npos || end + head_end.size() > max_head)
        return head_.size() > max_head ? State::head_too_large : State::wants_more;
    const auto rest = head_.substr(end + head_end.size());
    head_.resize(end + head_end.size());
    head_is_complete_ = true;
    if (const auto state = read_fields(); state != State::wants_more)
        return state;
    return feed(rest);
}

RequestReader::State RequestReader::read_fields()
{
    std::optional<std::size_t> length;
    auto rest = std::string_view(head_);
    while (!rest.empty()) {
        const auto line = rest.substr(0, rest.find(line_end));
        rest.remove_prefix(line.size() + line_end.size());
        const auto colon = std::min(line.find(':'), line.size());
        const auto name = line.substr(0, colon);
        if (same_word(name, "Transfer-Encoding"))
            return State::length_required;
        if (!same_word(name, "Content-Length"))
            continue;
        const auto value = number_of(without_blanks(line.substr(std::min(colon + 1, line.size()))), 10);
        if (!value || (length && *length != *value))
            return State::malformed;
        length = value;
    }
    length_ = length.value_or(0);
    return length_ > max_body ? State::body_too_large : State::wants_more;
}

}  // namespace instancer::daemon
