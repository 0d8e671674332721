// SPDX-License-Identifier: MIT
#include "authentication/web/http_answer.hpp"

#include <algorithm>

#include "http/http_fields.hpp"

namespace instancer::daemon {

namespace {

bool is_interim(int status) { return status < 200 && status != 101; }

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

void HttpAnswer::feed(std::string_view bytes)
{
    pending_ += bytes;
    while (step_ != nullptr && (this->*step_)()) {}
}

void HttpAnswer::end()
{
    if (ends_with_connection_ && step_ != nullptr)
        go_on(nullptr);
    else if (step_ != nullptr)
        fail("ends before it is complete");
}

bool HttpAnswer::read_status()
{
    const auto line = take_line();
    if (!line)
        return false;
    constexpr std::string_view version = "HTTP/1.";
    const auto word = std::string_view(*line).substr(std::min<std::size_t>(9, line->size()));
    const auto code = word.substr(0, word.find(' '));
    if (!line->starts_with(version) || line->size() < 9 || (*line)[8] != ' ' || code.size() != 3)
        return fail("does not begin as one by HTTP/1.1; does a web server listen there, and by this scheme?");
    const auto status = number_of(code, 10).value_or(0);
    if (status < 100 || status > 599)
        return fail("has no valid status: they go from 100 to 599");
    status_ = static_cast<int>(status);
    return go_on(&HttpAnswer::read_field);
}

bool HttpAnswer::read_field()
{
    const auto line = take_line();
    if (!line)
        return false;
    if (line->empty())
        return end_head();
    const auto colon = std::min(line->find(':'), line->size());
    const auto name = std::string_view(*line).substr(0, colon);
    if (colon == line->size() || !is_field_name(name))
        return fail("has a header field that is none");
    return take_field(name, without_blanks(std::string_view(*line).substr(colon + 1)));
}

bool HttpAnswer::take_field(std::string_view name, std::string_view value)
{
    if (same_word(name, "Content-Length"))
        return take_length(value);
    if (!same_word(name, "Transfer-Encoding"))
        return true;
    if (chunked_ || !same_word(value, "chunked"))
        return fail("has a transfer encoding other than chunked");
    chunked_ = true;
    return true;
}

bool HttpAnswer::take_length(std::string_view value)
{
    const auto length = number_of(value, 10);
    if (!length || (length_ && *length_ != *length))
        return fail("has no valid length");
    length_ = length;
    return true;
}

bool HttpAnswer::end_head()
{
    if (is_interim(status_)) {
        length_.reset();
        chunked_ = false;
        return go_on(&HttpAnswer::read_status);
    }
    if (has_no_body(status_))
        return go_on(nullptr);
    if (chunked_ && length_)
        return fail("has both a length and chunks");
    if (length_)
        return expect_body(*length_, nullptr);
    if (chunked_) {
        allowance_ = max_chunk_line;
        return go_on(&HttpAnswer::read_chunk_size);
    }
    ends_with_connection_ = true;
    left_ = beyond_range;
    return go_on(&HttpAnswer::read_body);
}

bool HttpAnswer::expect_body(std::size_t size, Step then)
{
    if (size > max_body - body_.size())
        return fail("is larger than 64 KiB");
    left_ = size;
    after_body_ = then;
    return go_on(&HttpAnswer::read_body);
}

bool HttpAnswer::read_body()
{
    const auto count = std::min(pending_.size(), left_);
    if (count > max_body - body_.size())
        return fail("is larger than 64 KiB");
    body_.append(pending_, 0, count);
    pending_.erase(0, count);
    left_ -= count;
    return left_ == 0 && go_on(after_body_);
}

bool HttpAnswer::read_chunk_size()
{
    const auto line = take_line();
    if (!line)
        return false;
    const auto size = number_of(std::string_view(*line).substr(0, line->find_first_of("; \t")), 16);
    if (!size)
        return fail("has a chunk without a valid size");
    if (*size > 0)
        return expect_body(*size, &HttpAnswer::read_chunk_end);
    allowance_ = max_head;
    return go_on(&HttpAnswer::read_trailer);
}

bool HttpAnswer::read_chunk_end()
{
    const auto line = take_line();
    if (!line)
        return false;
    if (!line->empty())
        return fail("has a chunk that is longer than its size");
    allowance_ = max_chunk_line;
    return go_on(&HttpAnswer::read_chunk_size);
}

bool HttpAnswer::read_trailer()
{
    const auto line = take_line();
    return line && go_on(line->empty() ? nullptr : &HttpAnswer::read_trailer);
}

/// Without its end. None where it is not complete, or too long, which is the end then.
std::optional<std::string> HttpAnswer::take_line()
{
    const auto end = pending_.find('\n');
    const auto size = end == pending_.npos ? pending_.size() : end + 1;
    if (size > allowance_) {
        fail("has a head of more than 8 KiB, or a chunk with a line of more than 1 KiB");
        return std::nullopt;
    }
    if (end == pending_.npos)
        return std::nullopt;
    allowance_ -= size;
    const bool has_return = end > 0 && pending_[end - 1] == '\r';
    auto line = pending_.substr(0, has_return ? end - 1 : end);
    pending_.erase(0, size);
    return line;
}

bool HttpAnswer::go_on(Step step)
{
    step_ = step;
    return true;
}

bool HttpAnswer::fail(const std::string& problem)
{
    problem_ = "its answer " + problem;
    return go_on(nullptr);
}

}  // namespace instancer::daemon
