// SPDX-License-Identifier: MIT
// Bytes that pass from an archive through decompression to the archive within it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <archive.h>
#include <archive_entry.h>

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "oci_digest.hpp"

namespace instancer::detail::inline oci {

/// libarchive has no text for what an entry lacks.
inline std::string text_or_empty(const char* text) { return text ? text : ""; }

/// Bytes that come piece by piece.
class OciStream {
public:
    virtual ~OciStream() = default;

    /// The next piece, which stays until the next call; empty at the end.
    virtual Result<std::string_view> read() = 0;
};

/// The error of what ends because it was asked to.
tl::unexpected<Error> import_stopped();

/// What another stream has, until it is asked to stop.
class OciStoppable final : public OciStream {
public:
    /// Lifetime: `source` must outlive it.
    OciStoppable(OciStream& source, std::stop_token stop) : source_(source), stop_(std::move(stop)) {}

    Result<std::string_view> read() override
    {
        if (stop_.stop_requested())
            return import_stopped();
        return source_.read();
    }

private:
    OciStream& source_;
    const std::stop_token stop_;
};

/// A piece of a file in an archive.
class OciBlock {
public:
    OciBlock(std::string_view data, std::int64_t position) : bytes(data), offset(position) {}

    std::string_view bytes;
    std::int64_t offset;  ///< In the file; what is passed over holds zeros.
};

/// Reads what libarchive can, from a stream or a file.
class OciReader {
public:
    enum class Format {
        tar,
        compressed_tar,
        compressed,  ///< One entry: all of it, decompressed; also of what is not compressed.
    };

    /// Lifetime: `source` must outlive it.
    static Result<std::unique_ptr<OciReader>> open(OciStream& source, Format format);
    /// Lifetime: `file` must outlive it.
    static Result<std::unique_ptr<OciReader>> open(const UniqueFd& file, Format format);

    /// The next entry; null at the end.
    Result<archive_entry*> next();
    /// The next piece of the current entry; none at its end.
    Result<std::optional<OciBlock>> read();
    /// Once an entry has come.
    bool is_compressed() const { return ::archive_filter_code(archive_.get(), 0) != ARCHIVE_FILTER_NONE; }

private:
    OciReader(OciStream* source, Format format);

    static la_ssize_t read_source(archive* archive, void* self, const void** data);
    tl::unexpected<Error> failure();

    std::unique_ptr<archive, decltype(&::archive_read_free)> archive_;
    OciStream* source_;
    std::optional<Error> source_error_;
};

/// What another stream has, decompressed where it is compressed: by gzip, bzip2, xz or, where libarchive can, zstd.
class OciDecompressed final : public OciStream {
public:
    /// Lifetime: `source` must outlive it.
    explicit OciDecompressed(OciStream& source) : source_(source) {}

    Result<std::string_view> read() override;

private:
    Result<void> open();

    OciStream& source_;
    std::unique_ptr<OciReader> reader_;
    bool ended_ = false;
};

/// What another stream has, with its digest. Ends with an error beyond so many bytes.
class OciDigested final : public OciStream {
public:
    /// Takes what passes from `bytes_left`. Lifetime: both must outlive it.
    OciDigested(OciStream& source, std::uint64_t& bytes_left) : source_(source), bytes_left_(bytes_left) {}

    Result<std::string_view> read() override;
    /// Of all that there is, which it reads to its end.
    Result<std::string> finish();

private:
    OciStream& source_;
    std::uint64_t& bytes_left_;
    OciDigest digest_;
};

}  // namespace instancer::detail::inline oci
