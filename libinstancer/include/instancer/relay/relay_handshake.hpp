// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/equal_secrets.hpp>

namespace instancer {

/// Reads what a client of the relay sends first, in pieces of any size: the authentication string, without an end, and
/// the number of a channel in hexadecimal digits, as many as the largest number has; leading zeros may be left out.
class RelayHandshake {
public:
    /// What is expected next.
    enum class State {
        authentication,        ///< Not all of the authentication string is there.
        channel,               ///< More digits may come.
        complete,              ///< `channel()` is known.
        wrong_authentication,  ///< It was another string.
        wrong_channel,         ///< No digit, or a number that is too large.
    };

    /// Channels have numbers from 0 to `max_channel`.
    RelayHandshake(std::string authentication, std::uint32_t max_channel)
        : authentication_(std::move(authentication)), max_channel_(max_channel), digits_left_(digits(max_channel))
    {
        if (authentication_.empty())
            state_ = State::channel;
    }

    /// How many hexadecimal digits a number has.
    static std::size_t digits(std::uint32_t number) noexcept
    {
        std::size_t count = 1;
        while ((number >>= 4) != 0)
            ++count;
        return count;
    }

    /// What the server says first.
    static std::string banner(std::uint32_t max_channel)
    {
        return std::to_string(digits(max_channel)) + "-BounceServer_1.0";
    }

    /// What is expected next.
    State state() const noexcept { return state_; }

    /// Whether nothing more is expected.
    bool is_over() const noexcept { return state_ != State::authentication && state_ != State::channel; }

    /// The most bytes that may be read now: not one too many of them belongs to the channel, but for those that follow
    /// a number with fewer digits.
    std::size_t wanted() const noexcept
    {
        return state_ == State::authentication ? authentication_.size() - received_.size() : digits_left_;
    }

    /// Takes what belongs to the handshake, and returns how much that was; less than all only when it is over.
    std::size_t feed(std::string_view bytes)
    {
        std::size_t taken = 0;
        if (state_ == State::authentication) {
            taken = std::min(bytes.size(), wanted());
            received_ += bytes.substr(0, taken);
            if (received_.size() == authentication_.size())
                authenticate();
        }
        while (state_ == State::channel && taken < bytes.size()) {
            const int digit = value_of(bytes[taken]);
            if (digit < 0) {
                end_channel();
                break;
            }
            ++taken;
            add(static_cast<std::uint32_t>(digit));
        }
        return taken;
    }

    /// Nothing has come for a while, or nothing more will: that ends a number that has begun.
    void pause()
    {
        if (state_ == State::channel && has_digit_)
            end_channel();
    }

    /// Whether a digit has come.
    bool has_digit() const noexcept { return has_digit_; }

    /// The number that was read.
    std::uint32_t channel() const noexcept { return static_cast<std::uint32_t>(channel_); }

private:
    void authenticate()
    {
        const bool right = equal_secrets(received_, authentication_);
        state_ = right ? State::channel : State::wrong_authentication;
    }

    void add(std::uint32_t digit)
    {
        channel_ = channel_ * 16 + digit;
        has_digit_ = true;
        if (--digits_left_ == 0)
            end_channel();
    }

    void end_channel() { state_ = has_digit_ && channel_ <= max_channel_ ? State::complete : State::wrong_channel; }

    static int value_of(char c) noexcept
    {
        if (c >= '0' && c <= '9')
            return c - '0';
        if (c >= 'a' && c <= 'f')
            return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    }

    std::string authentication_;
    std::uint32_t max_channel_;
    std::size_t digits_left_;
    std::string received_;
    std::uint64_t channel_ = 0;
    bool has_digit_ = false;
    State state_ = State::authentication;
};

}  // namespace instancer
