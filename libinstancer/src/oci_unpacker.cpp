// SPDX-License-Identifier: MIT
#include "oci_unpacker.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <optional>

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <instancer/system/last_error.hpp>
#include <instancer/text/split.hpp>

#include "oci_files.hpp"

namespace instancer::detail::inline oci {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.", opaque_name = ".wh..wh..opq", metadata_prefix = ".wh..wh.";
constexpr int most_depth = 200;

tl::unexpected<Error> refuse(const std::string& why) { return fail(Errc::bad_request, why); }

/// Whether a link of that path, which is relative, leads above the root directory.
bool leads_out(const std::string& parent, const std::string& target)
{
    int depth = parent.empty() ? 0 : static_cast<int>(split(parent, '/').size());
    for (const auto& part : split(target, '/')) {
        if (part == "..")
            --depth;
        else if (!part.empty() && part != ".")
            ++depth;
        if (depth < 0)
            return true;
    }
    return false;
}

/// What instances see and Docker gives them: capabilities, and what a program keeps with its files. All else is for the
/// host to decide.
bool is_image_attribute(std::string_view name)
{
    return name == "security.capability" || name.starts_with("user.") || name.starts_with("system.posix_acl_");
}

std::optional<std::uint32_t> to_id(std::int64_t number)
{
    const bool is_id = number >= 0 && number < std::numeric_limits<std::uint32_t>::max();
    return is_id ? std::optional(static_cast<std::uint32_t>(number)) : std::nullopt;
}

timespec time_of(archive_entry* entry)
{
    timespec time{};
    time.tv_sec = ::archive_entry_mtime(entry);
    time.tv_nsec = ::archive_entry_mtime_nsec(entry);
    return time;
}

bool set_time(int parent, const std::string& leaf, const timespec& time)
{
    const timespec times[] = {time, time};
    return ::utimensat(parent, leaf.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<void> write_at(int file, std::string_view bytes, std::int64_t offset)
{
    while (!bytes.empty()) {
        const auto count = ::pwrite(file, bytes.data(), bytes.size(), offset);
        if (count < 0)
            return fail(last_error(), "writing");
        bytes.remove_prefix(static_cast<std::size_t>(count));
        offset += count;
    }
    return {};
}

bool has_attributes(archive_entry* entry)
{
    ::archive_entry_xattr_reset(entry);
    return ::archive_entry_xattr_count(entry) != 0;
}

/// As Docker, it does without those that a file system does not know.
Result<void> set_extended_attributes(archive_entry* entry, int file, bool is_root)
{
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    ::archive_entry_xattr_reset(entry);
    while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        if (!is_image_attribute(name) || (!is_root && std::string_view(name) == "security.capability"))
            continue;
        if (::fsetxattr(file, name, value, size, 0) != 0 && errno != ENOTSUP)
            return fail(last_error(), std::string("setting ") + name);
    }
    return {};
}

}  // namespace

OciUnpacker::OciUnpacker(UniqueFd root, UniqueFd removed, std::uint64_t most_bytes, std::size_t most_entries)
    : root_(std::move(root)),
      removed_(std::move(removed)),
      bytes_left_(most_bytes),
      entries_left_(most_entries),
      is_root_(::geteuid() == 0)
{
}

Result<void> OciUnpacker::add_layer(OciStream& tar)
{
    new_.clear();
    directory_times_.clear();
    auto reader = OciReader::open(tar, OciReader::Format::tar);
    if (!reader)
        return fail(reader.error());
    for (;;) {
        const auto entry = (*reader)->next();
        if (!entry)
            return fail(entry.error());
        if (*entry == nullptr)
            break;
        if (const auto added = add(**reader, *entry); !added)
            return fail(added.error().code(),
                        text_or_empty(::archive_entry_pathname(*entry)) + ": " + added.error().text());
    }
    set_directory_times();
    return {};
}

Result<std::string> OciUnpacker::clean_path(const std::string& name)
{
    if (name.empty())
        return refuse("it has no name");
    if (name.starts_with('/'))
        return refuse("its name is absolute: pack the layer again, relative to the root directory");
    std::string path;
    for (const auto& part : split(name, '/')) {
        if (part == "..")
            return refuse("its name leads out of its directory: pack the layer again, without '..'");
        if (!part.empty() && part != ".")
            path += (path.empty() ? "" : "/") + part;
    }
    return path;
}

Result<OciUnpacker::Place> OciUnpacker::place_of(const std::string& name)
{
    auto path = clean_path(name);
    if (!path)
        return fail(path.error());
    Place place;
    place.path = std::move(*path);
    const auto slash = place.path.rfind('/');
    if (slash != std::string::npos)
        place.parent = place.path.substr(0, slash);
    place.leaf = place.path.empty() ? "." : place.path.substr(slash + 1);
    return place;
}

Result<void> OciUnpacker::count_entry()
{
    if (entries_left_ == 0)
        return refuse("with it the image has more entries than are allowed: allow more if you trust it");
    --entries_left_;
    return {};
}

Result<void> OciUnpacker::count(archive_entry* entry)
{
    if (const auto counted = count_entry(); !counted)
        return counted;
    const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(::archive_entry_size(entry), 0));
    if (size > bytes_left_)
        return refuse("with it the image has more bytes than are allowed: allow more if you trust it");
    bytes_left_ -= size;
    return {};
}

Result<void> OciUnpacker::add(OciReader& reader, archive_entry* entry)
{
    if (const auto counted = count(entry); !counted)
        return counted;
    const auto place = place_of(text_or_empty(::archive_entry_pathname(entry)));
    if (!place)
        return fail(place.error());
    if (place->leaf.starts_with(whiteout_prefix))
        return white_out(*place);
    const auto parent = open_parent(place->parent);
    if (!parent)
        return fail(parent.error());
    return add_at(reader, entry, *place, *parent);
}

Result<void> OciUnpacker::add_at(OciReader& reader, archive_entry* entry, const Place& place, int parent)
{
    const auto type = ::archive_entry_filetype(entry);
    if (place.path.empty() && type != AE_IFDIR)
        return refuse("it takes the place of the root directory");
    if (::archive_entry_hardlink(entry) != nullptr)
        return add_hard_link(entry, place, parent);
    switch (type) {
    case AE_IFREG: return add_file(reader, entry, place, parent);
    case AE_IFDIR: return add_directory(entry, place, parent);
    case AE_IFLNK: return add_symbolic_link(entry, place, parent);
    case AE_IFIFO: {
        const auto made =
            replace(parent, place.leaf, [&] { return ::mkfifoat(parent, place.leaf.c_str(), 0600) == 0; });
        return made ? set_attributes(entry, parent, place.leaf, type) : made;
    }
    case AE_IFCHR:
    case AE_IFBLK: return refuse("it is a device node: remove it from the image; instances get devices of their own");
    default: return refuse("it is neither file, directory nor link");
    }
}

Result<void> OciUnpacker::add_file(OciReader& reader, archive_entry* entry, const Place& place, int parent)
{
    UniqueFd file;
    const auto made = replace(parent, place.leaf, [&] {
        file.reset(::openat(parent, place.leaf.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        return static_cast<bool>(file);
    });
    if (!made)
        return made;
    std::int64_t end = 0;
    for (;;) {
        const auto block = reader.read();
        if (!block)
            return fail(block.error());
        if (!*block)
            break;
        if (const auto written = write_at(file.get(), (*block)->bytes, (*block)->offset); !written)
            return written;
        end = (*block)->offset + static_cast<std::int64_t>((*block)->bytes.size());
    }
    // A sparse file may end in what is not there.
    if (const auto size = ::archive_entry_size(entry); size > end && ::ftruncate(file.get(), size) != 0)
        return fail(last_error(), "writing");
    if (const auto set = set_attributes(entry, parent, place.leaf, AE_IFREG); !set || !has_attributes(entry))
        return set;
    return set_extended_attributes(entry, file.get(), is_root_);
}

Result<void> OciUnpacker::add_directory(archive_entry* entry, const Place& place, int parent)
{
    struct stat status {};
    const auto made = [&] { return ::mkdirat(parent, place.leaf.c_str(), 0700) == 0; };
    const auto is_directory = [&] {
        return ::fstatat(parent, place.leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
    };
    const auto there = replace(parent, place.leaf, [&] { return made() || (errno == EEXIST && is_directory()); });
    if (!there)
        return there;
    const auto set = set_attributes(entry, parent, place.leaf, AE_IFDIR);
    directory_times_.emplace_back(place, time_of(entry));
    if (!set || !has_attributes(entry))
        return set;
    const UniqueFd directory(::openat(parent, place.leaf.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return directory ? set_extended_attributes(entry, directory.get(), is_root_) : fail(last_error(), "opening");
}

Result<void> OciUnpacker::add_symbolic_link(archive_entry* entry, const Place& place, int parent)
{
    const auto target = text_or_empty(::archive_entry_symlink(entry));
    if (!target.starts_with('/') && leads_out(place.parent, target))
        return refuse("it is a link out of the root directory, to " + target + ": link within the image");
    const auto made =
        replace(parent, place.leaf, [&] { return ::symlinkat(target.c_str(), parent, place.leaf.c_str()) == 0; });
    return made ? set_attributes(entry, parent, place.leaf, AE_IFLNK) : made;
}

Result<void> OciUnpacker::add_hard_link(archive_entry* entry, const Place& place, int parent)
{
    const std::string name = ::archive_entry_hardlink(entry);
    const auto target = place_of(name);
    if (!target)
        return refuse("it is a link to " + name + ", and " + target.error().text());
    const auto directory = open_inside(root_.get(), "/" + target->parent, O_PATH | O_DIRECTORY);
    struct stat status {};
    if (!directory || ::fstatat(directory.get(), target->leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        S_ISDIR(status.st_mode))
        return refuse("it is a link to " + name + ", which is no file that came before it");
    const auto made = replace(parent, place.leaf, [&] {
        return ::linkat(directory.get(), target->leaf.c_str(), parent, place.leaf.c_str(), 0) == 0;
    });
    if (!made)
        return made;
    // As Docker does it: the file gets what the entry of the link has.
    const auto set = set_attributes(entry, parent, place.leaf, status.st_mode & S_IFMT);
    if (!set || !S_ISREG(status.st_mode) || !has_attributes(entry))
        return set;
    const UniqueFd file(::openat(parent, place.leaf.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    return file ? set_extended_attributes(entry, file.get(), is_root_) : fail(last_error(), "opening");
}

Result<void> OciUnpacker::set_attributes(archive_entry* entry, int parent, const std::string& leaf, mode_t type)
{
    const auto uid = to_id(::archive_entry_uid(entry)), gid = to_id(::archive_entry_gid(entry));
    if (!uid || !gid)
        return refuse("its owner has no number of a user");
    auto mode = ::archive_entry_perm(entry);
    if (!is_root_ && type == AE_IFDIR)
        mode |= S_IRWXU;  // Or what is in it could not be made, nor removed.
    // In this order, since a file that changes hands loses its setuid bit.
    if (is_root_ && ::fchownat(parent, leaf.c_str(), *uid, *gid, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(last_error(), "setting the owner");
    if (type != AE_IFLNK && ::fchmodat(parent, leaf.c_str(), mode, 0) != 0)
        return fail(last_error(), "setting the mode");
    if (type != AE_IFDIR && !set_time(parent, leaf, time_of(entry)))
        return fail(last_error(), "setting the time");
    note_new(parent, leaf);
    return {};
}

Result<void> OciUnpacker::white_out(const Place& place)
{
    const bool is_opaque = place.leaf == opaque_name;
    // Other names of this kind are what AUFS keeps for itself.
    if (!is_opaque && place.leaf.starts_with(metadata_prefix))
        return {};
    const auto name = is_opaque ? std::string(".") : place.leaf.substr(whiteout_prefix.size());
    if (!is_opaque && (name.empty() || name == "." || name == ".."))
        return refuse("it removes a directory from within: pack the layer again, without it");
    const auto parent = open_inside(root_.get(), "/" + place.parent, O_PATH | O_DIRECTORY);
    struct stat status {};
    if (!parent || ::fstatat(parent.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return {};
    if (!is_opaque && !new_.contains(status.st_ino))
        return remove(parent.get(), name);
    return S_ISDIR(status.st_mode) ? remove_lower(parent.get(), name) : Result<void>();
}

Result<void> OciUnpacker::replace(int parent, const std::string& leaf, const std::function<bool()>& make)
{
    if (make())
        return {};
    if (errno != EEXIST)
        return fail(last_error(), "making it");
    if (const auto cleared = remove(parent, leaf); !cleared)
        return cleared;
    return make() ? Result<void>() : fail(last_error(), "making it");
}

Result<void> OciUnpacker::remove(int parent, const std::string& leaf)
{
    // It may be a link on the way to that directory. The descriptor stays, since a caller may be about to use it.
    parent_path_.reset();
    if (::unlinkat(parent, leaf.c_str(), 0) == 0)
        return {};
    // Whole trees are moved aside, and removed when all is done.
    const auto aside = std::to_string(removed_count_++);
    if (::renameat(parent, leaf.c_str(), removed_.get(), aside.c_str()) != 0)
        return fail(last_error(), "removing what a layer below has there");
    return {};
}

Result<void> OciUnpacker::remove_lower(int parent, const std::string& leaf, int depth)
{
    if (depth == most_depth)
        return refuse("directories are nested too deeply");
    const UniqueFd directory(::openat(parent, leaf.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory)
        return fail(last_error(), "opening the directory");
    std::vector<std::string> names;
    std::error_code error;
    const auto path = "/proc/self/fd/" + std::to_string(directory.get());
    for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename().string());
    if (error)
        return fail(error, "reading the directory");
    for (const auto& name : names) {
        struct stat status {};
        const bool stays = is_new(directory.get(), name, status);
        const auto done = !stays                    ? remove(directory.get(), name)
                          : S_ISDIR(status.st_mode) ? remove_lower(directory.get(), name, depth + 1)
                                                    : Result<void>();
        if (!done)
            return done;
    }
    return {};
}

Result<int> OciUnpacker::open_parent(const std::string& path)
{
    if (path == parent_path_)
        return parent_.get();
    parent_path_.reset();
    parent_ = open_inside(root_.get(), "/" + path, O_PATH | O_DIRECTORY);
    if (!parent_ && errno != ENOENT)
        return fail(last_error(), "opening its directory");
    if (!parent_) {
        auto made = make_directories(path);
        if (!made)
            return fail(made.error());
        parent_ = std::move(*made);
    }
    parent_path_ = path;
    return parent_.get();
}

Result<UniqueFd> OciUnpacker::make_directories(const std::string& path)
{
    auto at = open_inside(root_.get(), "/", O_PATH | O_DIRECTORY);
    std::string done;
    for (const auto& part : split(path, '/')) {
        done += "/" + part;
        // One directory at a time, or a deep path would take the square of its length. Links lead from the root.
        UniqueFd next(::openat(at.get(), part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!next && errno == ENOTDIR)
            next = open_inside(root_.get(), done, O_PATH | O_DIRECTORY);
        if (!next && errno == ENOENT) {
            if (const auto counted = count_entry(); !counted)
                return fail(counted.error());
            next = make_directory(at.get(), part);
        }
        if (!next)
            return fail(last_error(), "making its directory " + done.substr(1));
        at = std::move(next);
    }
    return at;
}

UniqueFd OciUnpacker::make_directory(int parent, const std::string& leaf)
{
    if (::mkdirat(parent, leaf.c_str(), 0755) != 0 || ::fchmodat(parent, leaf.c_str(), 0755, 0) != 0)
        return {};
    note_new(parent, leaf);
    return UniqueFd(::openat(parent, leaf.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool OciUnpacker::is_new(int parent, const std::string& leaf, struct stat& status) const
{
    return ::fstatat(parent, leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && new_.contains(status.st_ino);
}

void OciUnpacker::note_new(int parent, const std::string& leaf)
{
    struct stat status {};
    if (::fstatat(parent, leaf.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
        new_.insert(status.st_ino);
}

/// Last, because each entry that a directory gets changes its time.
void OciUnpacker::set_directory_times()
{
    for (const auto& [place, time] : directory_times_) {
        struct stat status {};
        const auto parent = open_inside(root_.get(), "/" + place.parent, O_PATH | O_DIRECTORY);
        if (parent && is_new(parent.get(), place.leaf, status) && S_ISDIR(status.st_mode))
            set_time(parent.get(), place.leaf, time);
    }
}

}  // namespace instancer::detail::inline oci
