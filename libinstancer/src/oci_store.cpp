// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/backend/oci_store.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/system/last_error.hpp>

#include "oci_archive.hpp"
#include "oci_digest.hpp"
#include "oci_index.hpp"
#include "oci_unpacker.hpp"

namespace instancer {
namespace {

namespace fs = std::filesystem;
using namespace detail;

/// What is unpacked here is no image yet.
constexpr auto draft_name = "partial";

/// A directory's name may not hold the colon of a digest, which mount options give a meaning.
std::string name_of(std::string digest)
{
    std::ranges::replace(digest, ':', '-');
    return digest;
}

std::string digest_of_name(std::string name)
{
    std::ranges::replace(name, '-', ':');
    return name;
}

Result<void> remove_tree(const fs::path& path)
{
    std::string problem;
    TreeRemover(path.string(), [&](const std::string& text) { problem = text; }).remove_all();
    return problem.empty() ? Result<void>() : fail(Errc::bad_request, problem);
}

Result<void> check_owner(const UniqueFd& directory, const std::string& path)
{
    struct stat status {};
    if (::fstat(directory.get(), &status) != 0)
        return fail(last_error(), "reading who owns " + path);
    if (status.st_uid != ::geteuid())
        return fail(Errc::bad_request, path + " belongs to user " + std::to_string(status.st_uid) +
                                           " and not to us: name another directory for images");
    if ((status.st_mode & 077) != 0)
        return fail(Errc::bad_request, path + " is open to others, who could use its setuid programs: chmod 700 it");
    return {};
}

Result<UniqueFd> lock_store(const std::string& path)
{
    std::error_code error;
    fs::create_directories(fs::path(path).parent_path(), error);
    if (error || (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST))
        return fail(error ? error : last_error(), "making the directory " + path);
    auto lock = lock_directory(path);
    if (!lock && errno == EWOULDBLOCK)
        return fail(Errc::backend_unavailable,
                    path + " is in use by another daemon: name another directory for images");
    if (!lock)
        return fail(last_error(), "opening the directory " + path);
    return lock;
}

Result<UniqueFd> make_directory(const fs::path& path)
{
    if (::mkdir(path.c_str(), 0755) != 0)
        return fail(last_error(), "making the directory " + path.string());
    UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory)
        return fail(last_error(), "opening the directory " + path.string());
    return directory;
}

/// The draft of an image; it goes with this, unless it has become one.
class Draft {
public:
    explicit Draft(const fs::path& store) : path_(store / draft_name) {}
    Draft(const Draft&) = delete;
    ~Draft() { (void)remove_tree(path_); }

    Result<void> make()
    {
        if (::mkdir(path_.c_str(), 0700) != 0)
            return fail(last_error(), "making the directory " + path_.string());
        return {};
    }

    fs::path path(const char* name) const { return path_ / name; }

    Result<UniqueFd> make_file() const
    {
        const auto name = path("archive");
        UniqueFd file(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!file)
            return fail(last_error(), "making the file " + name.string());
        ::unlink(name.c_str());
        return file;
    }

private:
    fs::path path_;
};

/// An archive, and the image in it.
class OpenArchive {
public:
    OpenArchive(OciArchive opened, OciContents found) : archive(std::move(opened)), contents(std::move(found)) {}

    OciArchive archive;
    OciContents contents;
};

Result<OpenArchive> open_archive(const fs::path& path, const OciImport& import, const Draft& draft)
{
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return fail(last_error(), "opening");
    auto archive = OciArchive::open(
        std::move(file), [&] { return draft.make_file(); }, import.most_bytes, import.most_entries);
    if (!archive)
        return fail(archive.error());
    OciTexts texts;
    texts.has = [&](const std::string& name) { return archive->has(name); };
    texts.read = [&](const std::string& name) { return archive->read(name); };
    auto contents = find_oci_image(texts, import.platform);
    if (!contents)
        return fail(contents.error());
    return OpenArchive(std::move(*archive), std::move(*contents));
}

Result<void> expect_digest(Result<std::string> actual, const std::string& wanted)
{
    if (!actual)
        return fail(actual.error());
    if (*actual != wanted)
        return fail(Errc::bad_request, "its digest is " + *actual + " and should be " + wanted + ": make it again");
    return {};
}

/// Unpacks one layer, and verifies what was read by both of its digests.
Result<void> add_layer(OciUnpacker& unpacker, const OciArchive& archive, const OciLayer& layer,
                       std::uint64_t& bytes_left)
{
    const auto file = archive.open_file(layer.name);
    if (!file)
        return fail(file.error());
    std::uint64_t file_bytes_left = bytes_left;
    OciDigested blob(**file, file_bytes_left);
    // A layer that is not compressed has one digest, which need not be calculated twice.
    const bool is_plain = layer.blob_digest.empty() || layer.blob_digest == layer.diff_id;
    OciDecompressed decompressed(is_plain ? **file : static_cast<OciStream&>(blob));
    OciDigested tar(decompressed, bytes_left);
    if (const auto added = unpacker.add_layer(tar); !added)
        return added;
    if (const auto verified = expect_digest(tar.finish(), layer.diff_id); !verified || is_plain)
        return verified;
    return expect_digest(blob.finish(), layer.blob_digest);
}

Result<void> add_layers(OciUnpacker& unpacker, const OpenArchive& from, const OciImport& import)
{
    auto bytes_left = import.most_bytes;
    const auto& layers = from.contents.layers;
    for (std::size_t i = 0; i < layers.size(); ++i)
        if (const auto added = add_layer(unpacker, from.archive, layers[i], bytes_left); !added)
            return fail(added.error().code(), "layer " + std::to_string(i + 1) + " of " +
                                                  std::to_string(layers.size()) + " (" + layers[i].name +
                                                  "): " + added.error().text());
    return {};
}

/// Unpacks it as `target`, which is there completely or not at all, also when the system crashes.
Result<void> unpack(const OpenArchive& from, const OciImport& import, const Draft& draft, const fs::path& target,
                    const UniqueFd& store)
{
    auto root = make_directory(draft.path("rootfs"));
    auto removed = make_directory(draft.path("removed"));
    if (!root || !removed)
        return fail((root ? removed : root).error());
    OciUnpacker unpacker(std::move(*root), std::move(*removed), import.most_bytes, import.most_entries);
    if (const auto added = add_layers(unpacker, from, import); !added)
        return added;
    if (::syncfs(store.get()) != 0 || ::rename(draft.path("rootfs").c_str(), target.c_str()) != 0 ||
        ::fsync(store.get()) != 0)
        return fail(last_error(), "keeping it as " + target.string());
    return {};
}

template <class T>
Result<T> in_archive(const fs::path& archive, Result<T> result)
{
    if (result)
        return result;
    return fail(result.error().code(), "the archive " + archive.string() + ": " + result.error().text());
}

}  // namespace

OciStore::OciStore(fs::path directory, UniqueFd lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}

Result<OciStore> OciStore::open(fs::path directory)
{
    directory = fs::absolute(directory).lexically_normal();
    if (!directory.has_filename())
        directory = directory.parent_path();
    auto lock = lock_store(directory.string());
    if (!lock)
        return fail(lock.error());
    if (const auto checked = check_owner(*lock, directory.string()); !checked)
        return fail(checked.error());
    if (const auto removed = remove_tree(directory / draft_name); !removed)
        return fail(removed.error());
    return OciStore(std::move(directory), std::move(*lock));
}

Result<OciImage> OciStore::import_archive(const fs::path& archive, const OciImport& import)
{
    Draft draft(directory_);
    if (const auto made = draft.make(); !made)
        return fail(made.error());
    auto opened = open_archive(archive, import, draft);
    if (!opened)
        return in_archive<OciImage>(archive, fail(opened.error()));
    auto image = opened->contents.image;
    image.root = directory_ / name_of(image.digest);
    std::error_code error;
    if (!fs::exists(image.root, error))
        if (const auto unpacked = unpack(*opened, import, draft, image.root, lock_); !unpacked)
            return in_archive<OciImage>(archive, fail(unpacked.error()));
    return image;
}

Result<std::string> OciStore::digest_of(const fs::path& archive, const OciImport& import)
{
    Draft draft(directory_);
    if (const auto made = draft.make(); !made)
        return fail(made.error());
    const auto opened = open_archive(archive, import, draft);
    if (!opened)
        return in_archive<std::string>(archive, fail(opened.error()));
    return opened->contents.image.digest;
}

Result<std::vector<std::string>> OciStore::prune(const std::vector<std::string>& used_digests)
{
    std::error_code error;
    std::vector<std::string> unused;
    for (fs::directory_iterator at(directory_, error), end; !error && at != end; at.increment(error)) {
        const auto digest = digest_of_name(at->path().filename().string());
        if (OciDigest::is_one(digest) && std::ranges::find(used_digests, digest) == used_digests.end())
            unused.push_back(digest);
    }
    if (error)
        return fail(error, "reading the directory " + directory_.string());
    for (const auto& digest : unused) {
        // From here on it counts as no image, whatever interrupts its removal.
        const auto draft = directory_ / draft_name;
        if (::rename((directory_ / name_of(digest)).c_str(), draft.c_str()) != 0)
            return fail(last_error(), "removing " + name_of(digest));
        if (const auto removed = remove_tree(draft); !removed)
            return fail(removed.error());
    }
    std::ranges::sort(unused);
    return unused;
}

}  // namespace instancer
