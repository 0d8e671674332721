// SPDX-License-Identifier: MIT
#include "oci_files.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include <instancer/system/last_error.hpp>

namespace instancer::detail::inline oci {

Result<std::string> read_inside(int root, const std::string& path, std::size_t most)
{
    // A FIFO would have the opener wait for a writer.
    const auto file = open_inside(root, path, O_RDONLY | O_NONBLOCK);
    if (!file)
        return errno == ENOENT || errno == ENOTDIR ? Result<std::string>() : fail(last_error(), "opening " + path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
        return fail(Errc::bad_request, path + " is no regular file");
    if (static_cast<std::uint64_t>(status.st_size) > most)
        return fail(Errc::bad_request, path + " has more than " + std::to_string(most) + " bytes");
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    const auto count = ::read(file.get(), text.data(), text.size());
    if (count < 0)
        return fail(last_error(), "reading " + path);
    text.resize(static_cast<std::size_t>(count));
    return text;
}

}  // namespace instancer::detail::inline oci
