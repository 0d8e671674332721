// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace instancer::detail {

/// What two of our own kind tell each other in their GRT messages. Anybody else prints and ignores it, and so does an
/// older version of ours with words that it does not know.
class TunnelGreeting {
public:
    /// Says that we speak windows and half-close, and whether we are an agent that was displaced.
    static std::string offer(std::size_t window, bool displaced)
    {
        auto text = std::string(mark) + "window=" + std::to_string(window);
        if (displaced)
            text += " displaced";
        return text;
    }

    /// Tells an agent that the one called so serves in its place.
    static std::string displacement(std::string_view by)
    {
        return std::string(mark) + "displaced by " + std::string(by);
    }

    /// Of a greeting that says nothing to us, nothing is set.
    static TunnelGreeting parse(std::string_view text)
    {
        TunnelGreeting greeting;
        if (!take(text, mark))
            return greeting;
        if (take(text, "displaced by ")) {
            greeting.displaced = true;
            greeting.by = text;
        } else if (take(text, "window=")) {
            std::uint32_t window = 0;
            const auto read = std::from_chars(text.data(), text.data() + text.size(), window);
            if (read.ec != std::errc() || window < min_window)
                return greeting;
            greeting.window = window;
            greeting.displaced = std::string_view(read.ptr, text.data() + text.size()) == " displaced";
        }
        return greeting;
    }

    std::optional<std::uint32_t> window;  ///< The window of each session, where this is an offer.
    bool displaced = false;
    std::string_view by;  ///< Who serves instead. Refers to the text.

private:
    static constexpr std::string_view mark = "instancer-tunnel 1 ";
    /// A guess: with less, headers would outweigh the data.
    static constexpr std::uint32_t min_window = 4096;

    TunnelGreeting() = default;

    static bool take(std::string_view& text, std::string_view start)
    {
        if (text.substr(0, start.size()) != start)
            return false;
        text.remove_prefix(start.size());
        return true;
    }
};

}  // namespace instancer::detail
