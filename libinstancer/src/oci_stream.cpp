// SPDX-License-Identifier: MIT
#include "oci_stream.hpp"

#include <cerrno>
#include <clocale>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {
namespace {

constexpr std::size_t block_size = 256 * 1024;

/// In this thread names are bytes, as long as this lives. In a locale that knows UTF-8, libarchive would compose their
/// characters, and so give files other names than they have.
class ByteNames {
public:
    ByteNames() : before_(::uselocale(plain())) {}
    ByteNames(const ByteNames&) = delete;
    ~ByteNames() { ::uselocale(before_); }

private:
    static locale_t plain()
    {
        static const auto locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
        return locale;
    }

    locale_t before_;
};

}  // namespace

tl::unexpected<Error> import_stopped() { return fail(Errc::cancelled, "the import was stopped"); }

OciReader::OciReader(OciStream* source, Format format)
    : archive_(::archive_read_new(), ::archive_read_free), source_(source)
{
    auto* const archive = archive_.get();
    format == Format::compressed ? ::archive_read_support_format_raw(archive)
                                 : ::archive_read_support_format_tar(archive);
    if (format == Format::compressed)
        ::archive_read_support_format_empty(archive);
    if (format == Format::tar)
        return;
    // One by one, because for those that it was built without, libarchive would run programs.
    for (auto* const support :
         {::archive_read_support_filter_gzip, ::archive_read_support_filter_bzip2, ::archive_read_support_filter_xz})
        support(archive);
    if (::archive_libzstd_version() != nullptr)
        ::archive_read_support_filter_zstd(archive);
}

Result<std::unique_ptr<OciReader>> OciReader::open(OciStream& source, Format format)
{
    std::unique_ptr<OciReader> reader(new OciReader(&source, format));
    if (::archive_read_open(reader->archive_.get(), reader.get(), nullptr, &read_source, nullptr) != ARCHIVE_OK)
        return reader->failure();
    return reader;
}

Result<std::unique_ptr<OciReader>> OciReader::open(const UniqueFd& file, Format format)
{
    std::unique_ptr<OciReader> reader(new OciReader(nullptr, format));
    if (::lseek(file.get(), 0, SEEK_SET) != 0)
        return fail(last_error(), "reading");
    if (::archive_read_open_fd(reader->archive_.get(), file.get(), block_size) != ARCHIVE_OK)
        return reader->failure();
    return reader;
}

la_ssize_t OciReader::read_source(archive* archive, void* self, const void** data)
{
    auto& reader = *static_cast<OciReader*>(self);
    const auto bytes = reader.source_->read();
    if (!bytes) {
        reader.source_error_ = bytes.error();
        ::archive_set_error(archive, EIO, "%s", bytes.error().message().c_str());
        return ARCHIVE_FATAL;
    }
    *data = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
}

tl::unexpected<Error> OciReader::failure()
{
    if (source_error_)
        return fail(*source_error_);
    const auto* const text = ::archive_error_string(archive_.get());
    return fail(Errc::bad_request, text ? text : "it cannot be read");
}

Result<archive_entry*> OciReader::next()
{
    const ByteNames names;
    archive_entry* entry = nullptr;
    switch (::archive_read_next_header(archive_.get(), &entry)) {
    case ARCHIVE_EOF: return nullptr;
    case ARCHIVE_OK:
    // A name that is no ASCII stays as it is, with a warning.
    case ARCHIVE_WARN: return entry;
    default: return failure();
    }
}

Result<std::optional<OciBlock>> OciReader::read()
{
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int status = ::archive_read_data_block(archive_.get(), &data, &size, &offset);
    if (status == ARCHIVE_EOF)
        return std::nullopt;
    if (status != ARCHIVE_OK)
        return failure();
    return OciBlock({static_cast<const char*>(data), size}, offset);
}

Result<void> OciDecompressed::open()
{
    auto reader = OciReader::open(source_, OciReader::Format::compressed);
    if (!reader)
        return fail(reader.error());
    const auto entry = (*reader)->next();
    if (!entry)
        return fail(entry.error());
    reader_ = std::move(*reader);
    ended_ = *entry == nullptr;
    return {};
}

Result<std::string_view> OciDecompressed::read()
{
    if (!reader_)
        if (const auto opened = open(); !opened)
            return fail(opened.error());
    while (!ended_) {
        const auto block = reader_->read();
        if (!block)
            return fail(block.error());
        ended_ = !*block;
        // An empty piece would read as the end.
        if (!ended_ && !(*block)->bytes.empty())
            return (*block)->bytes;
    }
    return std::string_view();
}

Result<std::string_view> OciDigested::read()
{
    auto bytes = source_.read();
    if (!bytes)
        return bytes;
    if (bytes->size() > bytes_left_)
        return fail(Errc::bad_request, "it has more bytes unpacked than are allowed: allow more if you trust it");
    bytes_left_ -= bytes->size();
    digest_.update(*bytes);
    return bytes;
}

Result<std::string> OciDigested::finish()
{
    for (;;) {
        const auto bytes = read();
        if (!bytes)
            return fail(bytes.error());
        if (bytes->empty())
            return digest_.finish();
    }
}

}  // namespace instancer::detail::inline oci
