// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace instancer::daemon {

/// Collects one request by HTTP/1.1 up to its end, and bounds it, without I/O. The head's contents but for its length
/// of the body are for others to read.
class RequestReader {
public:
    static constexpr std::size_t max_head = 8 * 1024;
    static constexpr std::size_t max_body = 8 * 1024;

    enum class State {
        wants_more,
        complete,
        head_too_large,
        body_too_large,
        length_required,  ///< Its body has a transfer encoding instead of a length.
        malformed,        ///< Its length is none.
    };

    /// Takes the next bytes. What follows the request is ignored.
    State feed(std::string_view bytes);

    State state() const noexcept { return state_; }

    /// Whether nothing has come yet.
    bool is_empty() const noexcept { return head_.empty(); }

    /// With the empty line that ends it.
    const std::string& head() const noexcept { return head_; }
    const std::string& body() const noexcept { return body_; }

private:
    State read_head(std::string_view bytes);
    State read_fields();

    State state_ = State::wants_more;
    bool head_is_complete_ = false;
    std::size_t length_ = 0;  ///< Of the body.
    std::string head_;
    std::string body_;
};

}  // namespace instancer::daemon
