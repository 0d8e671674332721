// SPDX-License-Identifier: MIT
#include "oci_archive.hpp"

#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {
namespace {

constexpr std::uint64_t most_text = 4 << 20;

std::string clean(const std::string& name) { return std::filesystem::path(name).lexically_normal().string(); }

/// What the link of that name refers to: a symbolic one from its own directory.
std::string link_of(archive_entry* entry, const std::string& name)
{
    if (const auto* const target = ::archive_entry_hardlink(entry))
        return clean(target);
    if (::archive_entry_filetype(entry) != AE_IFLNK)
        return {};
    return clean(std::filesystem::path(name).parent_path() / text_or_empty(::archive_entry_symlink(entry)));
}

/// The data of the entry that a reader has come to.
class EntryStream final : public OciStream {
public:
    explicit EntryStream(std::unique_ptr<OciReader> reader) : reader_(std::move(reader)) {}

    Result<std::string_view> read() override
    {
        while (!ended_) {
            const auto block = reader_->read();
            if (!block)
                return fail(block.error());
            ended_ = !*block;
            if (ended_ || (*block)->bytes.empty())
                continue;
            if ((*block)->offset != position_)
                return fail(Errc::bad_request, "it is a sparse file, which no image has");
            position_ += static_cast<std::int64_t>((*block)->bytes.size());
            return (*block)->bytes;
        }
        return std::string_view();
    }

private:
    std::unique_ptr<OciReader> reader_;
    std::int64_t position_ = 0;
    bool ended_ = false;
};

Result<void> write_all(int file, std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto count = ::write(file, bytes.data(), bytes.size());
        if (count < 0)
            return fail(last_error(), "writing what is decompressed");
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
}

/// All of a file that is read once.
class FileStream final : public OciStream {
public:
    explicit FileStream(const UniqueFd& file) : file_(file), buffer_(64 * 1024, '\0') {}

    Result<std::string_view> read() override
    {
        const auto count = ::read(file_.get(), buffer_.data(), buffer_.size());
        if (count < 0)
            return fail(last_error(), "reading");
        return std::string_view(buffer_.data(), static_cast<std::size_t>(count));
    }

private:
    const UniqueFd& file_;
    std::string buffer_;
};

}  // namespace

Result<OciArchive> OciArchive::open(UniqueFd file, const Scratch& scratch, const OciImport& limits)
{
    OciArchive archive(std::move(file));
    auto plain = archive.read_index(limits);
    if (plain && !*plain) {
        if (const auto decompressed = archive.decompress(scratch, limits); !decompressed)
            return fail(decompressed.error());
        plain = archive.read_index(limits);
    }
    if (!plain)
        return fail(plain.error());
    return archive;
}

/// Whether it is not compressed; otherwise nothing is read.
Result<bool> OciArchive::read_index(const OciImport& limits)
{
    const auto reader = OciReader::open(file_, OciReader::Format::compressed_tar);
    if (!reader)
        return fail(reader.error());
    for (std::size_t count = 0;; ++count) {
        const auto entry = (*reader)->next();
        if (!entry)
            return fail(entry.error());
        if (*entry == nullptr)
            return true;
        if ((*reader)->is_compressed())
            return false;
        if (limits.stop.stop_requested())
            return import_stopped();
        if (count == limits.most_entries)
            return fail(Errc::bad_request, "it has more than " + std::to_string(count) + " entries");
        const auto name = clean(text_or_empty(::archive_entry_pathname(*entry)));
        File file;
        file.link = link_of(*entry, name);
        file.size = static_cast<std::uint64_t>(::archive_entry_size(*entry));
        if (!file.link.empty() || ::archive_entry_filetype(*entry) == AE_IFREG)
            files_.emplace(name, std::move(file));
    }
}

Result<void> OciArchive::decompress(const Scratch& scratch, const OciImport& limits)
{
    if (::lseek(file_.get(), 0, SEEK_SET) != 0)
        return fail(last_error(), "reading");
    auto copy = scratch();
    if (!copy)
        return fail(copy.error());
    FileStream compressed(file_);
    OciDecompressed decompressed(compressed);
    OciStoppable source(decompressed, limits.stop);
    for (auto bytes_left = limits.most_bytes;;) {
        const auto bytes = source.read();
        if (!bytes)
            return fail(bytes.error());
        if (bytes->empty())
            break;
        if (bytes->size() > bytes_left)
            return fail(Errc::bad_request, "it has more bytes, decompressed, than an image may have");
        bytes_left -= bytes->size();
        if (const auto written = write_all(copy->get(), *bytes); !written)
            return written;
    }
    file_ = std::move(*copy);
    return {};
}

std::optional<std::string> OciArchive::find(const std::string& name) const
{
    const auto found = files_.find(name);
    if (found == files_.end() || found->second.link.empty())
        return found == files_.end() ? std::nullopt : std::optional(name);
    const auto target = files_.find(found->second.link);
    return target != files_.end() && target->second.link.empty() ? std::optional(target->first) : std::nullopt;
}

Result<std::unique_ptr<OciStream>> OciArchive::open_file(const std::string& name) const
{
    const auto target = find(name);
    if (!target)
        return fail(Errc::bad_request, "it has no file " + name);
    auto reader = OciReader::open(file_, OciReader::Format::tar);
    while (reader) {
        const auto entry = (*reader)->next();
        if (!entry)
            return fail(entry.error());
        if (*entry == nullptr)
            break;
        if (::archive_entry_filetype(*entry) == AE_IFREG &&
            clean(text_or_empty(::archive_entry_pathname(*entry))) == *target)
            return std::unique_ptr<OciStream>(std::make_unique<EntryStream>(std::move(*reader)));
    }
    return fail(reader ? Error(Errc::bad_request, "its file " + name + " is gone") : reader.error());
}

Result<std::string> OciArchive::read(const std::string& name) const
{
    if (const auto target = find(name); target && files_.at(*target).size > most_text)
        return fail(Errc::bad_request, "its file " + name + " has more than " + std::to_string(most_text) + " bytes");
    const auto stream = open_file(name);
    if (!stream)
        return fail(stream.error());
    std::string text;
    for (;;) {
        const auto bytes = (*stream)->read();
        if (!bytes)
            return fail(bytes.error());
        if (bytes->empty())
            return text;
        text += *bytes;
    }
}

}  // namespace instancer::detail::inline oci
