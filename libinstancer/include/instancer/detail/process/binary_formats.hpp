// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include <instancer/text/hex.hpp>

namespace instancer::detail {

/// Where the kernel lists the formats that it knows beside its own.
inline constexpr std::string_view formats_directory = "/proc/sys/fs/binfmt_misc";

/// A format as the kernel describes it: by what stands at some place in a file, or by how the file's name ends.
///
/// Source: fs/binfmt_misc.c of Linux, and its documentation, binfmt-misc.rst.
class BinaryFormat {
public:
    /// What cannot be read may be anything.
    explicit BinaryFormat(std::istream& entry)
    {
        for (std::string line; std::getline(entry, line);) {
            std::istringstream words(line);
            std::string key, value;
            words >> key >> value;
            if (key == "disabled")
                enabled_ = false;
            else if (key == "extension")
                extension_ = value;
            else if (key == "offset")
                std::istringstream(value) >> offset_;
            else if (key == "magic")
                magic_ = from_hex(value);
            else if (key == "mask")
                mask_ = from_hex(value);
        }
    }

    bool is_enabled() const noexcept { return enabled_; }

    /// Whether the kernel may run a file of that name that begins with `head`.
    bool may_match(const std::filesystem::path& file, std::string_view head) const
    {
        if (!enabled_)
            return false;
        if (!extension_.empty())
            return file.extension() == extension_;
        if (!magic_)
            return true;
        for (std::size_t i = 0; i < magic_->size(); ++i) {
            if (offset_ + i >= head.size())
                return false;
            const auto mask = mask_ && i < mask_->size() ? (*mask_)[i] : '\xff';
            if (((head[offset_ + i] ^ (*magic_)[i]) & mask) != 0)
                return false;
        }
        return true;
    }

private:
    bool enabled_ = true;
    std::string extension_;  ///< With its dot.
    std::size_t offset_ = 0;
    std::optional<std::string> magic_;
    std::optional<std::string> mask_;
};

/// Whether the kernel may know how to run a file whose format is none of its own: unless `formats` is there and none of
/// what it lists is like that.
inline bool may_have_other_format(const std::filesystem::path& file, std::string_view head,
                                  const std::filesystem::path& formats)
{
    if (std::ifstream status(formats / "status"); !BinaryFormat(status).is_enabled())
        return false;
    std::error_code error;
    bool listed = false;
    for (std::filesystem::directory_iterator at(formats, error), end; !error && at != end; at.increment(error)) {
        listed = true;
        const auto name = at->path().filename();
        std::ifstream entry(at->path());
        if (name != "register" && name != "status" && BinaryFormat(entry).may_match(file, head))
            return true;
    }
    return error || !listed;
}

}  // namespace instancer::detail
