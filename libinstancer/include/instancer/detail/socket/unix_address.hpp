// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

namespace instancer::detail {

/// Whether it names an abstract socket: one that has no file, and so no permissions.
constexpr bool is_abstract(std::string_view path) noexcept { return path.starts_with('@'); }

/// The address of the Unix socket at a path, or of the abstract one `@name`.
class UnixAddress {
public:
    static constexpr std::size_t max_size = sizeof sockaddr_un::sun_path - 1;

    static bool fits(std::string_view path) noexcept { return path.size() <= max_size; }

    /// `path` fits.
    explicit UnixAddress(std::string_view path)
    {
        address_.sun_family = AF_UNIX;
        path.copy(address_.sun_path, max_size);
        size_ = sizeof address_;
        if (is_abstract(path)) {
            address_.sun_path[0] = '\0';
            size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
        }
    }

    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&address_); }
    socklen_t size() const noexcept { return size_; }

    /// The path or `@name` of an address that the system gave.
    static std::string path_of(const sockaddr_storage& name, socklen_t size)
    {
        sockaddr_un address{};
        std::memcpy(&address, &name, sizeof address);
        if (address.sun_path[0] != '\0' || size <= offsetof(sockaddr_un, sun_path))
            return address.sun_path;
        return "@" + std::string(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
    }

private:
    sockaddr_un address_{};
    socklen_t size_;
};

}  // namespace instancer::detail
