// SPDX-License-Identifier: MIT
#include "oci_root.hpp"

#include <algorithm>
#include <fstream>
#include <system_error>

#include <instancer/detail/text/contains_path.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer {

namespace fs = std::filesystem;

namespace {

using detail::is_below;

/// Whether this place of the host is the same one in the root directory, links on the way to it left aside.
bool has_place(const OciRoot& root, const fs::path& path)
{
    return std::ranges::any_of(
               root.binds,
               [&](const auto& bind) { return bind.source == bind.target && is_below(path, bind.source); }) ||
           std::ranges::any_of(root.links, [&](const auto& link) { return is_below(path, link.first); });
}

/// The directories of libraries beside /usr: /lib, /lib64 and the like.
std::vector<fs::path> library_directories()
{
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator at("/", error), end; !error && at != end; at.increment(error))
        if (at->path().filename().string().starts_with("lib"))
            found.push_back(at->path());
    std::sort(found.begin(), found.end());
    return found;
}

/// Makes `path` below `root` and the directories above it. Every user may enter them, whatever the umask is.
void make_directories(const fs::path& root, const fs::path& path, std::error_code& error)
{
    auto at = root;
    for (const auto& part : path.relative_path()) {
        at /= part;
        if (!error && fs::create_directory(at, error))
            fs::permissions(at, fs::perms(0755), error);
    }
}

void make_file(const fs::path& root, const fs::path& path, const std::string& content, std::error_code& error)
{
    make_directories(root, path.parent_path(), error);
    const auto file = root / path.relative_path();
    if (!error && !(std::ofstream(file, std::ios::binary) << content << std::flush))
        error = last_error();
    if (!error)
        fs::permissions(file, fs::perms(0644), error);
}

/// Makes the file or directory that a runtime covers with the mount.
void make_place(const fs::path& root, const ContainerMount& bind, std::error_code& error)
{
    std::error_code ignored;
    if (fs::exists(root / fs::path(bind.target).relative_path(), ignored))
        return;
    if (fs::is_directory(bind.source, ignored))
        make_directories(root, bind.target, error);
    else
        make_file(root, bind.target, {}, error);
}

}  // namespace

OciRoot OciRoot::of_host()
{
    OciRoot root;
    root.add("/usr");
    for (const auto* path : {"/bin", "/sbin"})
        root.add(path);
    for (const auto& path : library_directories())
        root.add(path);
    for (const auto* path : {"/etc/alternatives", "/etc/ssl/certs", "/etc/localtime", "/etc/ld.so.cache"})
        root.add(path);
    root.files = {{"/etc/passwd", "root:x:0:0:root:/home:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/sh\n"},
                  {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"}};
    root.directories = {"/home"};
    return root;
}

void OciRoot::add(const fs::path& path)
{
    std::error_code error;
    if (fs::is_symlink(path, error) && has_place(*this, fs::canonical(path, error)))
        links.emplace_back(path.string(), fs::read_symlink(path, error).string());
    else if (fs::exists(path, error))
        binds.emplace_back(path.string(), path.string());
}

bool OciRoot::shows(const fs::path& path) const
{
    std::error_code error;
    const auto real = fs::canonical(path, error);
    return !error && has_place(*this, path.lexically_normal()) && has_place(*this, real);
}

Result<void> detail::oci::make_root_directory(const OciRoot& root, const fs::path& path)
{
    std::error_code error;
    if (fs::create_directory(path, error))
        fs::permissions(path, fs::perms(0755), error);
    for (const auto& directory : root.directories)
        make_directories(path, directory, error);
    for (const auto& [file, content] : root.files)
        make_file(path, file, content, error);
    for (const auto& [link, content] : root.links) {
        make_directories(path, fs::path(link).parent_path(), error);
        if (!error)
            fs::create_symlink(content, path / fs::path(link).relative_path(), error);
    }
    for (const auto& bind : root.binds)
        make_place(path, bind, error);
    if (error)
        return fail(error, "making the root directory " + path.string());
    return {};
}

}  // namespace instancer
