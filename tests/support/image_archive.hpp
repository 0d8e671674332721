// SPDX-License-Identifier: MIT
// Archives of images, made here: their layers hold whatever a test wants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include <instancer/text/hex.hpp>

namespace image_test {

using nlohmann::json;

enum class Compression { none, gzip, zstd };

inline std::string sha256(std::string_view bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    REQUIRE(::EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1);
    return instancer::to_hex(std::string_view(reinterpret_cast<const char*>(digest), size));
}

/// What a file in a layer has beside its name and content.
class Traits {
public:
    mode_t mode = 0644;
    std::int64_t uid = 0, gid = 0;
    std::string attribute, value;  ///< An extended attribute; none if empty.
};

/// A tar archive in memory.
class Tar {
public:
    explicit Tar(Compression compression = Compression::none)
        : bytes_(std::make_unique<std::string>()), archive_(::archive_write_new(), ::archive_write_free)
    {
        ::archive_write_set_format_pax_restricted(archive_.get());
        if (compression == Compression::gzip)
            ::archive_write_add_filter_gzip(archive_.get());
        if (compression == Compression::zstd)
            REQUIRE(::archive_write_add_filter_zstd(archive_.get()) == ARCHIVE_OK);
        // Of the last block only what is in it.
        ::archive_write_set_bytes_in_last_block(archive_.get(), 1);
        REQUIRE(::archive_write_open(archive_.get(), bytes_.get(), nullptr, &append, nullptr) == ARCHIVE_OK);
    }

    Tar& file(const std::string& name, std::string_view content, const Traits& traits = {})
    {
        return add(name, AE_IFREG, traits, content, [](archive_entry*) {});
    }

    Tar& directory(const std::string& name, mode_t mode = 0755, std::int64_t owner = 0)
    {
        Traits traits;
        traits.mode = mode;
        traits.uid = traits.gid = owner;
        return add(name, AE_IFDIR, traits, {}, [](archive_entry*) {});
    }

    Tar& symbolic_link(const std::string& name, const std::string& target)
    {
        return add(name, AE_IFLNK, {}, {}, [&](auto* entry) { ::archive_entry_set_symlink(entry, target.c_str()); });
    }

    Tar& hard_link(const std::string& name, const std::string& target, const Traits& traits = {})
    {
        return add(name, AE_IFREG, traits, {},
                   [&](auto* entry) { ::archive_entry_set_hardlink(entry, target.c_str()); });
    }

    /// A FIFO or a device node.
    Tar& node(const std::string& name, unsigned type)
    {
        return add(name, type, {}, {}, [](auto* entry) {
            ::archive_entry_set_rdevmajor(entry, 1);
            ::archive_entry_set_rdevminor(entry, 3);
        });
    }

    std::string finish()
    {
        REQUIRE(::archive_write_close(archive_.get()) == ARCHIVE_OK);
        return std::move(*bytes_);
    }

private:
    static la_ssize_t append(archive*, void* to, const void* data, std::size_t size)
    {
        static_cast<std::string*>(to)->append(static_cast<const char*>(data), size);
        return static_cast<la_ssize_t>(size);
    }

    template <class Finish>
    Tar& add(const std::string& name, unsigned type, const Traits& traits, std::string_view content,
             const Finish& finish)
    {
        const std::unique_ptr<archive_entry, decltype(&::archive_entry_free)> entry(::archive_entry_new(),
                                                                                    ::archive_entry_free);
        ::archive_entry_set_pathname(entry.get(), name.c_str());
        ::archive_entry_set_filetype(entry.get(), type);
        ::archive_entry_set_perm(entry.get(), traits.mode);
        ::archive_entry_set_uid(entry.get(), traits.uid);
        ::archive_entry_set_gid(entry.get(), traits.gid);
        ::archive_entry_set_mtime(entry.get(), 1'600'000'000, 0);
        ::archive_entry_set_size(entry.get(), static_cast<std::int64_t>(content.size()));
        if (!traits.attribute.empty())
            ::archive_entry_xattr_add_entry(entry.get(), traits.attribute.c_str(), traits.value.data(),
                                            traits.value.size());
        finish(entry.get());
        const bool written = ::archive_write_header(archive_.get(), entry.get()) >= ARCHIVE_WARN &&
                             ::archive_write_data(archive_.get(), content.data(), content.size()) ==
                                 static_cast<la_ssize_t>(content.size());
        if (!written)
            FAIL(::archive_error_string(archive_.get()));
        return *this;
    }

    std::unique_ptr<std::string> bytes_;
    std::unique_ptr<archive, decltype(&::archive_write_free)> archive_;  ///< Writes to the other until it goes.
};

/// An image in the making.
class Image {
public:
    /// `tar` is the layer; `packed`, if it is not empty, what the archive holds instead.
    Image& layer(const std::string& tar, const std::string& packed = {})
    {
        diff_ids_.push_back("sha256:" + sha256(tar));
        layers_.push_back(packed.empty() ? tar : packed);
        return *this;
    }

    json config = json::object();  ///< How its program is started.
    std::string architecture;      ///< Empty: of this machine, if that is an ordinary one.

    std::string config_text() const
    {
#if defined(__aarch64__)
        const std::string here = "arm64";
#else
        const std::string here = "amd64";
#endif
        return json{{"os", "linux"},
                    {"architecture", architecture.empty() ? here : architecture},
                    {"config", config},
                    {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids_}}}}
            .dump();
    }

    std::string digest() const { return "sha256:" + sha256(config_text()); }

    /// As `docker save` writes it, before version 25.
    std::string docker_archive(Compression compression = Compression::none) const
    {
        Tar tar(compression);
        json names = json::array();
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            names.push_back(std::to_string(i) + "/layer.tar");
            tar.directory(std::to_string(i) + "/").file(names.back(), layers_[i]);
        }
        const auto name = sha256(config_text()) + ".json";
        const json manifest{{{"Config", name}, {"RepoTags", {"challenge:latest"}}, {"Layers", names}}};
        return tar.file(name, config_text()).file("manifest.json", manifest.dump()).finish();
    }

    /// Adds it to an archive of an OCI image layout; its descriptor is for the index.
    json add_to(Tar& tar) const
    {
        json layers = json::array();
        for (const auto& bytes : layers_)
            layers.push_back(add_blob(tar, "application/vnd.oci.image.layer.v1.tar", bytes));
        const json manifest{{"schemaVersion", 2},
                            {"config", add_blob(tar, "application/vnd.oci.image.config.v1+json", config_text())},
                            {"layers", layers}};
        return add_blob(tar, "application/vnd.oci.image.manifest.v1+json", manifest.dump());
    }

    static json add_blob(Tar& tar, const std::string& type, const std::string& bytes)
    {
        tar.file("blobs/sha256/" + sha256(bytes), bytes);
        return {{"mediaType", type}, {"digest", "sha256:" + sha256(bytes)}, {"size", bytes.size()}};
    }

    std::string oci_archive() const
    {
        Tar tar;
        return finish_oci(tar, json::array({add_to(tar)}));
    }

    static std::string finish_oci(Tar& tar, const json& manifests)
    {
        return tar.file("oci-layout", R"({"imageLayoutVersion": "1.0.0"})")
            .file("index.json", json{{"schemaVersion", 2}, {"manifests", manifests}}.dump())
            .finish();
    }

private:
    std::vector<std::string> layers_, diff_ids_;
};

}  // namespace image_test
