// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <instancer/backend/oci_store.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "oci_stream.hpp"

namespace instancer::detail::inline oci {

/// The archive of an image: files by their names.
class OciArchive {
public:
    /// Opens an empty file for what a compressed archive holds, since its files are read in another order than it has.
    using Scratch = std::function<Result<UniqueFd>()>;

    /// Reads what there is. Errors: it is no tar archive, or has more than `limits` allow; it was stopped.
    static Result<OciArchive> open(UniqueFd file, const Scratch& scratch, const OciImport& limits);

    bool has(const std::string& name) const { return find(name).has_value(); }
    /// A file of text, of at most 4 MiB as registries take it.
    Result<std::string> read(const std::string& name) const;
    /// Lifetime: the archive must outlive what it returns; one stream at a time.
    Result<std::unique_ptr<OciStream>> open_file(const std::string& name) const;

private:
    class File {
    public:
        std::uint64_t size = 0;
        std::string link;  ///< To another file; empty for none.
    };

    explicit OciArchive(UniqueFd file) : file_(std::move(file)) {}

    Result<bool> read_index(const OciImport& limits);
    Result<void> decompress(const Scratch& scratch, const OciImport& limits);
    /// The name of the file itself, where that one is a link.
    std::optional<std::string> find(const std::string& name) const;

    UniqueFd file_;
    std::unordered_map<std::string, File> files_;
};

}  // namespace instancer::detail::inline oci
