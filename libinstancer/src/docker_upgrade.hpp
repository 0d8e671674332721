// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace instancer::detail::inline docker {

/// Reads the head of the engine's answer to a request to attach, after which the connection carries the streams.
///
/// Source: Docker Engine API, "Attach to a container". An engine says 101, an old one 200.
class UpgradeParser {
public:
    enum class State {
        incomplete,  ///< More is needed.
        upgraded,    ///< What follows the head is the container's.
        refused,     ///< See `refusal()`.
    };

    static constexpr std::size_t max_size = 16 * 1024;

    /// Takes what belongs to the head from the front of `data`, and says how much that is. At a refusal it is as much
    /// as was looked at.
    std::size_t feed(std::string_view data)
    {
        std::size_t used = 0;
        while (used < data.size() && state_ == State::incomplete) {
            head_ += data[used++];
            if (head_.ends_with("\r\n\r\n"))
                state_ = succeeded() ? State::upgraded : State::refused;
            else if (head_.size() == max_size)
                state_ = State::refused;
        }
        return used;
    }

    State state() const noexcept { return state_; }

    /// For the operator.
    std::string refusal() const
    {
        const auto line = std::string_view(head_).substr(0, head_.find('\r'));
        return line.starts_with("HTTP/") && line.size() <= max_line ? std::string(line) : "the answer is no HTTP";
    }

private:
    static constexpr std::size_t max_line = 200;

    bool succeeded() const noexcept { return head_.starts_with("HTTP/1.1 101 ") || head_.starts_with("HTTP/1.1 200 "); }

    std::string head_;
    State state_ = State::incomplete;
};

}  // namespace instancer::detail::inline docker
