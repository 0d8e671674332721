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

/// For what takes paths alone: it leads to the directory itself, wherever that is by now.
fs::path path_of(const UniqueFd& directory) { return "/proc/self/fd/" + std::to_string(directory.get()); }

/// Removes the draft in a store, whose `directory` is for errors.
Result<void> remove_draft(const UniqueFd& store, const fs::path& directory)
{
    std::string problem;
    const auto root = path_of(store);
    const auto path = (root / draft_name).string();
    TreeRemover(path, [&](const std::string& text) {
        problem = directory.string() + text.substr(root.native().size());
    }).remove_all();
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

/// Whether nobody else can put another directory in the place of one that is in it.
Result<void> check_ancestor(const fs::path& path)
{
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0)
        return fail(last_error(), "reading who owns " + path.string());
    if (!S_ISDIR(status.st_mode))
        return fail(Errc::bad_request, path.string() + " is no directory: name another directory for images");
    if (status.st_uid != 0 && status.st_uid != ::geteuid())
        return fail(Errc::bad_request, path.string() + " belongs to user " + std::to_string(status.st_uid) +
                                           ", who could replace the images below it: name another directory for "
                                           "images");
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0)
        return fail(Errc::bad_request, path.string() +
                                           " may be written to by others, who could replace the images below it: "
                                           "chmod go-w it, or name another directory for images");
    return {};
}

/// Makes what is missing of the directories above a store. From the top, since what has been checked stays as it is.
Result<void> make_ancestors(const fs::path& parent)
{
    fs::path path;
    for (const auto& part : parent) {
        path /= part;
        if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
            return fail(last_error(), "making the directory " + path.string());
        if (const auto checked = check_ancestor(path); !checked)
            return checked;
    }
    return {};
}

Result<UniqueFd> lock_store(const std::string& path)
{
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return fail(last_error(), "making the directory " + path);
    auto lock = lock_directory(path);
    if (!lock && errno == EWOULDBLOCK)
        return fail(Errc::backend_unavailable,
                    path + " is in use by another daemon: name another directory for images");
    if (!lock)
        return fail(last_error(), "opening the directory " + path);
    return lock;
}

/// Makes the last directory of `path`, with these permissions whatever the umask is.
Result<UniqueFd> make_directory(const UniqueFd& parent, const fs::path& path, mode_t mode)
{
    const auto name = path.filename();
    if (::mkdirat(parent.get(), name.c_str(), mode) != 0)
        return fail(last_error(), "making the directory " + path.string());
    UniqueFd directory(::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory || ::fchmod(directory.get(), mode) != 0)
        return fail(last_error(), "opening the directory " + path.string());
    return directory;
}

/// The draft of an image; it goes with this, unless it has become one.
class Draft {
public:
    /// Where the store is matters to errors alone. Lifetime: `store` must outlive it.
    Draft(const UniqueFd& store, const fs::path& path) : store_(store), path_(path / draft_name) {}
    Draft(const Draft&) = delete;
    ~Draft() { (void)remove_draft(store_, path_.parent_path()); }

    Result<void> make()
    {
        auto made = make_directory(store_, path_, 0700);
        if (!made)
            return fail(made.error());
        directory_ = std::move(*made);
        return {};
    }

    const UniqueFd& directory() const { return directory_; }

    Result<UniqueFd> add_directory(const char* name, mode_t mode) const
    {
        return make_directory(directory_, path_ / name, mode);
    }

    Result<UniqueFd> make_file() const
    {
        constexpr auto name = "archive";
        UniqueFd file(::openat(directory_.get(), name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!file)
            return fail(last_error(), "making the file " + (path_ / name).string());
        ::unlinkat(directory_.get(), name, 0);
        return file;
    }

private:
    const UniqueFd& store_;
    fs::path path_;
    UniqueFd directory_;
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
    const auto scratch = [&] { return draft.make_file(); };
    auto archive = OciArchive::open(std::move(file), scratch, import);
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
                       const std::stop_token& stop, std::uint64_t& bytes_left)
{
    const auto file = archive.open_file(layer.name);
    if (!file)
        return fail(file.error());
    std::uint64_t file_bytes_left = bytes_left;
    OciDigested blob(**file, file_bytes_left);
    // A layer that is not compressed has one digest, which need not be calculated twice.
    const bool is_plain = layer.blob_digest.empty() || layer.blob_digest == layer.diff_id;
    OciDecompressed decompressed(is_plain ? **file : static_cast<OciStream&>(blob));
    OciStoppable stoppable(decompressed, stop);
    OciDigested tar(stoppable, bytes_left);
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
        if (const auto added = add_layer(unpacker, from.archive, layers[i], import.stop, bytes_left); !added)
            return fail(added.error().code(), "layer " + std::to_string(i + 1) + " of " +
                                                  std::to_string(layers.size()) + " (" + layers[i].name +
                                                  "): " + added.error().text());
    return {};
}

/// Unpacks it as `target`, which is there completely or not at all, also when the system crashes.
Result<void> unpack(const OpenArchive& from, const OciImport& import, const Draft& draft, const fs::path& target,
                    const UniqueFd& store)
{
    constexpr auto root_name = "rootfs";
    auto root = draft.add_directory(root_name, 0755);
    auto removed = draft.add_directory("removed", 0700);
    if (!root || !removed)
        return fail((root ? removed : root).error());
    OciUnpacker unpacker(std::move(*root), std::move(*removed), import.most_bytes, import.most_entries);
    if (const auto added = add_layers(unpacker, from, import); !added)
        return added;
    if (::syncfs(store.get()) != 0 ||
        ::renameat(draft.directory().get(), root_name, store.get(), target.filename().c_str()) != 0 ||
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
    std::error_code error;
    const auto parent = fs::weakly_canonical(directory.parent_path(), error);
    if (error)
        return fail(error, "finding the directory " + directory.parent_path().string());
    directory = parent / directory.filename();
    if (const auto made = make_ancestors(parent); !made)
        return fail(made.error());
    auto lock = lock_store(directory.string());
    if (!lock)
        return fail(lock.error());
    if (const auto checked = check_owner(*lock, directory.string()); !checked)
        return fail(checked.error());
    if (const auto removed = remove_draft(*lock, directory); !removed)
        return fail(removed.error());
    return OciStore(std::move(directory), std::move(*lock));
}

Result<OciImage> OciStore::import_archive(const fs::path& archive, const OciImport& import)
{
    Draft draft(lock_, directory_);
    if (const auto made = draft.make(); !made)
        return fail(made.error());
    auto opened = open_archive(archive, import, draft);
    if (!opened)
        return in_archive<OciImage>(archive, fail(opened.error()));
    auto image = opened->contents.image;
    const auto name = name_of(image.digest);
    image.root = directory_ / name;
    if (::faccessat(lock_.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        if (const auto unpacked = unpack(*opened, import, draft, image.root, lock_); !unpacked)
            return in_archive<OciImage>(archive, fail(unpacked.error()));
    return image;
}

Result<std::string> OciStore::digest_of(const fs::path& archive, const OciImport& import)
{
    Draft draft(lock_, directory_);
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
    for (fs::directory_iterator at(path_of(lock_), error), end; !error && at != end; at.increment(error)) {
        const auto digest = digest_of_name(at->path().filename().string());
        if (OciDigest::is_one(digest) && std::ranges::find(used_digests, digest) == used_digests.end())
            unused.push_back(digest);
    }
    if (error)
        return fail(error, "reading the directory " + directory_.string());
    for (const auto& digest : unused) {
        // From here on it counts as no image, whatever interrupts its removal.
        if (::renameat(lock_.get(), name_of(digest).c_str(), lock_.get(), draft_name) != 0)
            return fail(last_error(), "removing " + name_of(digest));
        if (const auto removed = remove_draft(lock_, directory_); !removed)
            return fail(removed.error());
    }
    std::ranges::sort(unused);
    return unused;
}

}  // namespace instancer
