// SPDX-License-Identifier: MIT
// The values that options take, from text. Every failure says what is wrong and how to write it right.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>
#include <tl/expected.hpp>

#include <instancer/backend/process_options.hpp>

#include "config/text.hpp"

namespace instancer::daemon {

/// The value, or what is wrong with the text.
template <class T>
using Parsed = tl::expected<T, std::string>;

inline tl::unexpected<std::string> wrong(std::string text) { return tl::unexpected<std::string>(std::move(text)); }

/// `300ms`, `20s`, `10m`, `2h`, or `0`.
Parsed<std::chrono::milliseconds> parse_duration(std::string_view text);

/// Microseconds: `100us`, or as above.
Parsed<std::chrono::microseconds> parse_short_duration(std::string_view text);

/// Bytes: `512`, `64k`, `64m`, `2g`.
Parsed<std::uint64_t> parse_size(std::string_view text);

/// A whole number from `least` to `most`.
Parsed<std::uint64_t> parse_count(std::string_view text, std::uint64_t least, std::uint64_t most);

/// The kernel's shortest share of a processor is 1 ms in 100; the largest is a guess.
inline constexpr double least_cpus = 0.01, most_cpus = 4096;

/// A number of processors: `2`, `0.5`, or `0`.
Parsed<double> parse_cpus(std::string_view text);

/// Permissions of a file, in octal digits: `0600`.
Parsed<mode_t> parse_permissions(std::string_view text);

/// As they are written, in the largest unit that leaves nothing over.
std::string print_duration(std::chrono::microseconds duration);
std::string print_size(std::uint64_t bytes);
std::string print_cpus(double count);
std::string print_permissions(mode_t mode);
std::string print_ports(const PortRange& ports);

/// Exactly `digits` hexadecimal digits; the result has the bytes they stand for.
Parsed<std::string> parse_hex(std::string_view text, std::size_t digits);

/// Bytes, with the escapes of C for those that cannot be typed: `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH`.
Parsed<std::string> parse_escaped(std::string_view text);

/// `8000-8009`, or one port.
Parsed<PortRange> parse_ports(std::string_view text);

/// Whether it is meant as a range of users: `70000-70063`.
bool is_user_range(std::string_view text);

/// `70000-70063`: users by number, of whom none is root, 65,536 at most.
Parsed<UserRange> parse_users(std::string_view text);

/// `NAME=VALUE`.
Parsed<std::pair<std::string, std::string>> parse_assignment(std::string_view text);

/// Letters, digits, `-` and `_`, neither of these first; so that it can stand in the name of a container or directory.
Parsed<std::string> parse_name(std::string_view text);

/// Where a service listens.
class Address {
public:
    enum class Kind {
        tcp,          ///< `host:port`, `[v6]:port`, or `:port` for every address.
        unix_socket,  ///< `unix:/path`, or `unix:@name` for an abstract one.
        inherited,    ///< `fd:NAME`, a socket that systemd passes.
    };

    static Address tcp(std::string host, std::uint16_t port) { return Address(Kind::tcp, std::move(host), port); }
    static Address unix_socket(std::string path) { return Address(Kind::unix_socket, std::move(path), 0); }
    static Address inherited(std::string name) { return Address(Kind::inherited, std::move(name), 0); }

    Kind kind() const noexcept { return kind_; }

    /// Host, path or name; an empty host means every address.
    const std::string& name() const noexcept { return name_; }
    std::uint16_t port() const noexcept { return port_; }

    /// Whether it is a Unix socket without a file, and so without permissions.
    bool is_abstract() const noexcept { return kind_ == Kind::unix_socket && name_.starts_with('@'); }

    /// Whether it is a Unix socket with a file.
    bool has_file() const noexcept { return kind_ == Kind::unix_socket && !is_abstract(); }

    /// As the user writes it.
    std::string text() const;

    /// Whether both cannot be listened on at once, as far as can be said without resolving names.
    bool collides(const Address& other) const;

    friend bool operator==(const Address&, const Address&) = default;

private:
    Address(Kind kind, std::string name, std::uint16_t port) : kind_(kind), name_(std::move(name)), port_(port) {}

    Kind kind_;
    std::string name_;
    std::uint16_t port_;
};

Parsed<Address> parse_address(std::string_view text);

/// One address; or, with a range of 1,000 ports at most, as in `127.0.0.1:20000-20009`, one for each of them.
Parsed<std::vector<Address>> parse_addresses(std::string_view text);

}  // namespace instancer::daemon
