// SPDX-License-Identifier: MIT
// A store of images in a directory of its own, and what it makes of archives.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <instancer/backend/oci_store.hpp>

#include "image_archive.hpp"
#include "temporary_directory.hpp"

namespace oci_test {

using namespace instancer;
using namespace image_test;
namespace fs = std::filesystem;

inline std::string content(const fs::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> names_in(const fs::path& directory)
{
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
}

inline struct stat status_of(const fs::path& path)
{
    struct stat status {};
    REQUIRE_MESSAGE(::lstat(path.c_str(), &status) == 0, path.string());
    return status;
}

class Store {
public:
    Store() { open(); }

    /// As a daemon that starts after the one before has ended.
    void open()
    {
        store_.reset();
        auto opened = OciStore::open(path());
        REQUIRE_MESSAGE(opened, opened.error().message());
        store_ = std::make_unique<OciStore>(std::move(*opened));
    }

    OciStore& operator*() { return *store_; }
    OciStore* operator->() { return store_.get(); }

    fs::path path(const std::string& name = {}) const { return fs::path(directory_.path("store")) / name; }

    std::string keep(const std::string& archive) { return directory_.file("image.tar", archive); }

    OciImage import(const std::string& archive)
    {
        auto image = store_->import_archive(keep(archive), options);
        REQUIRE_MESSAGE(image, image.error().message());
        return *image;
    }

    fs::path unpack(const Image& image) { return import(image.docker_archive()).root; }

    /// Why the archive is refused; nothing of it remains.
    std::string refuses(const std::string& archive)
    {
        const auto before = names_in(path());
        const auto image = store_->import_archive(keep(archive), options);
        REQUIRE_FALSE(image);
        CHECK(names_in(path()) == before);
        CHECK(names_in(directory_.path()) == std::vector<std::string>{"image.tar", "store"});
        return image.error().message();
    }

    /// Why an image of this layer is refused, from the name of the entry on.
    std::string refuses(Tar& layer)
    {
        const auto text = refuses(Image().layer(layer.finish()).docker_archive());
        const std::string place = "image.tar: layer 1 of 1 (0/layer.tar): ";
        REQUIRE_MESSAGE(text.find(place) != text.npos, text);
        return text.substr(text.find(place) + place.size());
    }

    OciImport options;

private:
    daemon_test::TemporaryDirectory directory_;
    std::unique_ptr<OciStore> store_;
};

}  // namespace oci_test
