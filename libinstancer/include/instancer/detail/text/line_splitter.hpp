// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace instancer::detail {

/// Makes lines of bytes that come in pieces. A line over `limit` bytes is cut into several.
class LineSplitter {
public:
    explicit LineSplitter(std::size_t limit = 4096) : limit_(limit) {}

    template <class Emit>
    void feed(std::string_view bytes, const Emit& emit)
    {
        while (!bytes.empty()) {
            const auto part = bytes.substr(0, std::min(bytes.find('\n'), limit_ - line_.size()));
            line_ += part;
            bytes.remove_prefix(part.size());
            if (bytes.empty())
                return;
            flush(emit);
            if (bytes.front() == '\n')
                bytes.remove_prefix(1);
        }
    }

    /// The last line may lack its end.
    template <class Emit>
    void finish(const Emit& emit)
    {
        if (!line_.empty())
            flush(emit);
    }

private:
    template <class Emit>
    void flush(const Emit& emit)
    {
        emit(std::string_view(line_));
        line_.clear();
    }

    std::size_t limit_;
    std::string line_;
};

}  // namespace instancer::detail
