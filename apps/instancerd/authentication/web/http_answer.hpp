// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace instancer::daemon {

/// Reads one answer by HTTP/1.0 or HTTP/1.1, without I/O: its status and its body.
///
/// Source: RFC 9112. Interim answers are skipped, the fields of a trailer are ignored.
class HttpAnswer {
public:
    static constexpr std::size_t max_head = 8 * 1024;  ///< Bytes of status lines and fields together.
    static constexpr std::size_t max_body = 64 * 1024;

    /// Takes the next bytes. What follows a complete answer is ignored.
    void feed(std::string_view bytes);

    /// The connection has ended in order.
    void end();

    /// Whether the answer is neither complete nor wrong yet.
    bool wants_more() const noexcept { return step_ != nullptr; }

    /// Why the answer is of no use, beginning with `its answer`; empty as long as nothing is wrong.
    const std::string& problem() const noexcept { return problem_; }

    int status() const noexcept { return status_; }
    const std::string& body() const noexcept { return body_; }

private:
    static constexpr std::size_t max_chunk_line = 1024;

    /// Takes what comes next from `pending_`. False when that is not all there yet.
    using Step = bool (HttpAnswer::*)();

    bool read_status();
    bool read_field();
    bool read_body();
    bool read_chunk_size();
    bool read_chunk_end();
    bool read_trailer();

    std::optional<std::string> take_line();
    bool take_field(std::string_view name, std::string_view value);
    bool take_length(std::string_view value);
    bool end_head();
    bool expect_body(std::size_t size, Step then);
    bool go_on(Step step);
    bool fail(const std::string& problem);

    Step step_ = &HttpAnswer::read_status;  ///< Null at the end.
    std::string pending_;
    std::size_t allowance_ = max_head;  ///< Bytes that further lines may have.

    int status_ = 0;
    std::optional<std::size_t> length_;
    bool chunked_ = false;
    bool ends_with_connection_ = false;
    std::size_t left_ = 0;  ///< Bytes of the body up to the next step.
    Step after_body_ = nullptr;
    std::string body_;
    std::string problem_;
};

}  // namespace instancer::daemon
