// SPDX-License-Identifier: MIT
// Which image an archive holds, and what that consists of.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/backend/oci_image.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// A layer of an image.
class OciLayer {
public:
    OciLayer(std::string file_name, std::string digest_of_tar)
        : name(std::move(file_name)), diff_id(std::move(digest_of_tar))
    {
    }

    std::string name;         ///< Of its file in the archive.
    std::string diff_id;      ///< Digest of what the file holds, decompressed.
    std::string blob_digest;  ///< Digest of the file; empty where nothing names it.
};

/// What an image consists of, from the bottom up.
class OciContents {
public:
    OciImage image;  ///< Without its root.
    std::string platform;
    std::vector<OciLayer> layers;
};

/// The files of an archive, as far as they are text.
class OciTexts {
public:
    std::function<bool(const std::string&)> has;
    std::function<Result<std::string>(const std::string&)> read;
};

/// What a configuration says; its layers have no names yet. Errors: it is none of an image.
Result<OciContents> parse_oci_config(std::string_view text);

/// The one image of an archive for `platform`, or for this machine if that is empty.
///
/// Errors: there is none, or more than one; it is damaged.
Result<OciContents> find_oci_image(const OciTexts& archive, const std::string& platform);

}  // namespace instancer::detail::inline oci
