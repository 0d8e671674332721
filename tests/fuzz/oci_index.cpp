// SPDX-License-Identifier: MIT
// The index of an archive of an image: an image is found, or the text says why not; its layers have digests.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "oci_digest.hpp"
#include "oci_index.hpp"
#include "require.hpp"

using namespace instancer;
using namespace instancer::detail;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    // The first line is one of the files, and all others are the rest, whatever they are called.
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const auto end = std::min(all.find('\n'), size);
    const std::string index(all.substr(0, end)), rest(all.substr(std::min(end + 1, size)));
    for (const auto* name : {"index.json", "manifest.json"}) {
        OciTexts texts;
        const auto is_there = [&](const std::string& file) {
            return file == name || (file != "index.json" && file != "manifest.json");
        };
        texts.has = is_there;
        texts.read = [&](const std::string& file) -> Result<std::string> { return file == name ? index : rest; };
        const auto contents = find_oci_image(texts, "linux/amd64");
        if (!contents) {
            REQUIRE(!contents.error().message().empty());
            continue;
        }
        REQUIRE(OciDigest::is_one(contents->image.digest));
        REQUIRE(contents->image.working_directory.starts_with('/'));
        for (const auto& layer : contents->layers)
            REQUIRE(OciDigest::is_one(layer.diff_id));
    }
    return 0;
}
