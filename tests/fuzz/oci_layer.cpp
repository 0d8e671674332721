// SPDX-License-Identifier: MIT
// The layers of an image: whatever they hold, nothing is written beside the directory that they are for.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>

#include <instancer/detail/process/tree_remover.hpp>

#include "oci_unpacker.hpp"
#include "require.hpp"

using namespace instancer;
using namespace instancer::detail;

namespace fs = std::filesystem;

namespace {

/// All bytes at once.
class Bytes final : public OciStream {
public:
    explicit Bytes(std::string_view all) : left_(all) {}

    Result<std::string_view> read() override { return std::exchange(left_, {}); }

private:
    std::string_view left_;
};

/// Where images are unpacked, with a file beside that must stay as it is.
class Place {
public:
    Place()
    {
        char path[] = "/dev/shm/instancer-fuzz-XXXXXX";
        REQUIRE(::mkdtemp(path) != nullptr);
        path_ = path;
        std::ofstream(path_ / "beside") << "untouched";
    }
    ~Place() { remove(path_); }

    void unpack(std::string_view first, std::string_view second)
    {
        OciUnpacker unpacker(make("root"), make("removed"), 1 << 20, 100);
        for (const auto bytes : {first, second}) {
            Bytes stream(bytes);
            if (const auto added = unpacker.add_layer(stream); !added)
                REQUIRE(!added.error().message().empty());
        }
    }

    void check_and_clear()
    {
        std::ifstream file(path_ / "beside");
        REQUIRE((std::string{std::istreambuf_iterator<char>(file), {}} == "untouched"));
        REQUIRE(std::distance(fs::directory_iterator(path_), {}) == 3);
        for (const auto* name : {"root", "removed"})
            remove(path_ / name);
    }

private:
    UniqueFd make(const char* name) const
    {
        fs::create_directory(path_ / name);
        return UniqueFd(::open((path_ / name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }

    /// With directories that their owner may not write to.
    static void remove(const fs::path& path)
    {
        TreeRemover(path.string(), [](const std::string&) {}).remove_all();
        REQUIRE(!fs::exists(path));
    }

    fs::path path_;
};

/// A changed header would be refused for its checksum alone.
std::string with_checksums(std::string_view bytes)
{
    constexpr std::size_t block = 512, checksum = 148, magic = 257;
    std::string tar(bytes);
    for (std::size_t at = 0; at + block <= tar.size(); at += block) {
        if (tar.compare(at + magic, 5, "ustar") != 0)
            continue;
        tar.replace(at + checksum, 8, 8, ' ');
        unsigned sum = 0;
        for (std::size_t i = 0; i < block; ++i)
            sum += static_cast<unsigned char>(tar[at + i]);
        char digits[8];
        std::snprintf(digits, sizeof digits, "%06o", sum);
        tar.replace(at + checksum, 7, digits, 7);
    }
    return tar;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static Place place;
    const auto all = with_checksums({reinterpret_cast<const char*>(data), size});
    // Two layers, each of whole blocks of a tar archive.
    const auto middle = size / 1024 * 512;
    place.unpack(std::string_view(all).substr(0, middle), std::string_view(all).substr(middle));
    place.check_and_clear();
    return 0;
}
