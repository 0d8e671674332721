// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace instancer::detail {

/// `text` without blanks before and behind it.
inline std::string_view without_blanks(std::string_view text) noexcept
{
    static constexpr std::string_view blanks = " \t";
    const auto begin = text.find_first_not_of(blanks);
    return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// A line that somebody types into nc or telnet, byte by byte. It ends with LF, CR LF or CR NUL; what telnet wants to
/// negotiate is refused, and is no part of the line.
///
/// Sources: RFC 854, RFC 855.
class TypedLine {
public:
    enum class State { incomplete, complete, too_long };

    explicit TypedLine(std::size_t limit) : limit_(limit) {}

    /// Takes the next byte; none after the line is complete.
    State feed(std::uint8_t byte)
    {
        if (++bytes_ > limit_ + most_negotiation)
            return State::too_long;
        switch (std::exchange(place_, Place::text)) {
        case Place::text: return feed_text(byte);
        case Place::after_return:
            if (byte == '\n' || byte == '\0')
                return State::complete;
            return add('\r') == State::too_long ? State::too_long : feed_text(byte);
        case Place::command: return feed_command(byte);
        case Place::option: answer(byte); break;
        case Place::details: place_ = byte == escape ? Place::details_command : Place::details; break;
        case Place::details_command: place_ = byte == details_end ? Place::text : Place::details; break;
        }
        return State::incomplete;
    }

    /// The line without blanks around it.
    std::string_view text() const noexcept { return without_blanks(text_); }

    /// What the client is to be sent by now, once.
    std::string take_reply() noexcept { return std::exchange(reply_, {}); }

private:
    enum class Place { text, after_return, command, option, details, details_command };

    static constexpr std::size_t most_negotiation = 1024;

    // Telnet's commands.
    static constexpr std::uint8_t details_end = 240, details_begin = 250, will = 251, wont = 252, do_ = 253, dont = 254,
                                  escape = 255;

    State feed_text(std::uint8_t byte)
    {
        if (byte == '\n')
            return State::complete;
        if (byte == '\r')
            place_ = Place::after_return;
        else if (byte == escape)
            place_ = Place::command;
        else
            return add(static_cast<char>(byte));
        return State::incomplete;
    }

    State add(char byte)
    {
        if (text_.size() == limit_)
            return State::too_long;
        text_ += byte;
        return State::incomplete;
    }

    State feed_command(std::uint8_t byte)
    {
        if (byte == escape)
            return add(static_cast<char>(byte));
        command_ = byte;
        if (byte == details_begin)
            place_ = Place::details;
        else if (byte >= will)
            place_ = Place::option;
        return State::incomplete;
    }

    /// Whoever will not, or is asked not to, wants no answer.
    void answer(std::uint8_t option)
    {
        if (command_ == will || command_ == do_)
            for (const auto byte : {escape, command_ == will ? dont : wont, option})
                reply_ += static_cast<char>(byte);
    }

    std::size_t limit_;
    std::size_t bytes_ = 0;
    std::string text_;
    std::string reply_;
    Place place_ = Place::text;
    std::uint8_t command_ = 0;
};

}  // namespace instancer::detail
