// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <instancer/detail/text/line_splitter.hpp>

#include "docker_json.hpp"

namespace instancer::detail::inline docker {

/// What an engine says while it pulls an image: one message a line, of which a failure alone is kept.
class PullProgress {
public:
    /// What a longer message says is lost: a guess, far above what engines send.
    static constexpr std::size_t longest_message = 64 * 1024;

    void feed(std::string_view bytes)
    {
        lines_.feed(bytes, [this](std::string_view line) { read(line); });
    }

    /// Why the pull failed, once all has been fed; empty when it did not.
    std::string finish()
    {
        lines_.finish([this](std::string_view line) { read(line); });
        return error_;
    }

private:
    void read(std::string_view line)
    {
        if (error_.empty())
            error_ = text_at(nlohmann::json::parse(line, nullptr, false), "error");
    }

    LineSplitter lines_{longest_message};
    std::string error_;
};

}  // namespace instancer::detail::inline docker
