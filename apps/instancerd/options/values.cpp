// SPDX-License-Identifier: MIT
#include "options/values.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <instancer/text/hex.hpp>

namespace instancer::daemon {

namespace {

constexpr std::string_view digits = "0123456789";

/// The whole of `text` as a number; none when it is anything else or too large.
std::optional<std::uint64_t> to_number(std::string_view text)
{
    std::uint64_t value = 0;
    const auto end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || stop != end)
        return std::nullopt;
    return value;
}

/// Splits into leading digits and what follows.
std::pair<std::string_view, std::string_view> number_and_unit(std::string_view text)
{
    const auto unit = std::min(text.find_first_not_of(digits), text.size());
    return {text.substr(0, unit), text.substr(unit)};
}

std::optional<std::uint64_t> multiplied(std::uint64_t a, std::uint64_t b, std::uint64_t most)
{
    return a > most / b ? std::nullopt : std::optional(a * b);
}

Parsed<std::uint16_t> parse_port(std::string_view text)
{
    const auto port = to_number(text);
    if (!port || *port > 65535)
        return wrong(in_quotes(text) + " is not a port; write a number from 0 to 65535");
    return static_cast<std::uint16_t>(*port);
}

bool is_v4(std::string_view host) { return host.find_first_not_of("0123456789.") == host.npos; }

bool is_v6(std::string_view host) { return host.find(':') != host.npos; }

/// Each link has addresses of its own in fe80::/10.
bool is_link_local_without_zone(std::string_view host)
{
    in6_addr address{};
    return ::inet_pton(AF_INET6, std::string(host).c_str(), &address) == 1 && IN6_IS_ADDR_LINKLOCAL(&address);
}

/// Whether listening on the port of `host` keeps others from it on `other`.
bool covers(std::string_view host, std::string_view other)
{
    return host == other || host.empty() || (host == "0.0.0.0" && !is_v6(other)) || (host == "::" && !is_v4(other));
}

}  // namespace

Parsed<std::chrono::milliseconds> parse_duration(std::string_view text)
{
    using std::chrono::milliseconds;
    if (text == "0")
        return milliseconds(0);
    const auto [number, unit] = number_and_unit(text);
    const std::uint64_t factor = unit == "ms"  ? 1
                                 : unit == "s" ? 1000
                                 : unit == "m" ? 60'000
                                 : unit == "h" ? 3'600'000
                                               : 0;
    const auto value = to_number(number);
    if (!number.empty() && unit.empty())
        return wrong(in_quotes(text) + " has no unit; write " + std::string(number) + "s for seconds, or ms, m, h");
    if (!value || factor == 0)
        return wrong(in_quotes(text) + " is not a duration; write 300ms, 20s, 10m or 2h");
    constexpr std::uint64_t ten_years = 10ull * 365 * 24 * 3'600'000;
    const auto total = multiplied(*value, factor, ten_years);
    if (!total)
        return wrong(in_quotes(text) + " is longer than ten years; write 0 for no limit");
    return milliseconds(*total);
}

Parsed<std::chrono::microseconds> parse_short_duration(std::string_view text)
{
    const auto [number, unit] = number_and_unit(text);
    if (unit != "us") {
        const auto duration = parse_duration(text);
        return duration ? Parsed<std::chrono::microseconds>(*duration) : wrong(duration.error());
    }
    const auto value = parse_count(number, 0, 1'000'000'000);
    if (!value)
        return wrong(in_quotes(text) + " is not a duration; write 100us, or 1ms");
    return std::chrono::microseconds(*value);
}

Parsed<std::uint64_t> parse_size(std::string_view text)
{
    const auto [number, unit] = number_and_unit(text);
    const int shift = unit.empty() ? 0 : unit == "k" ? 10 : unit == "m" ? 20 : unit == "g" ? 30 : -1;
    const auto value = to_number(number);
    if (!value || shift < 0)
        return wrong(in_quotes(text) + " is not a size; write 512k, 64m or 2g");
    const auto total = multiplied(*value, std::uint64_t{1} << shift, std::numeric_limits<std::int64_t>::max());
    if (!total)
        return wrong(in_quotes(text) + " is too large");
    return *total;
}

Parsed<std::uint64_t> parse_count(std::string_view text, std::uint64_t least, std::uint64_t most)
{
    const auto value = to_number(text);
    if (!value || *value < least || *value > most)
        return wrong(in_quotes(text) + " does not fit; write a whole number from " + std::to_string(least) + " to " +
                     std::to_string(most));
    return *value;
}

Parsed<double> parse_cpus(std::string_view text)
{
    double value = 0;
    const auto end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    if (text.empty() || error != std::errc() || stop != end || !(value >= 0 && value <= most_cpus))
        return wrong(in_quotes(text) + " is not a number of processors; write 0.5 or 2");
    if (value != 0 && value < least_cpus)
        return wrong(in_quotes(text) + " is too little to work; write 0.01 or more, or 0 for no limit");
    return value;
}

std::string print_duration(std::chrono::microseconds duration)
{
    static constexpr std::pair<std::string_view, std::int64_t> units[] = {
        {"h", 3'600'000'000}, {"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1000}, {"us", 1}};
    const std::int64_t count = duration.count();
    if (count == 0)
        return "0";
    const auto fits = [&](const auto& unit) { return count % unit.second == 0; };
    const auto& [unit, length] = *std::find_if(std::begin(units), std::end(units), fits);
    return std::to_string(count / length) + std::string(unit);
}

std::string print_size(std::uint64_t bytes)
{
    static constexpr std::pair<std::string_view, int> units[] = {{"g", 30}, {"m", 20}, {"k", 10}};
    for (const auto& [unit, shift] : units)
        if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0)
            return std::to_string(bytes >> shift) + std::string(unit);
    return std::to_string(bytes);
}

std::string print_cpus(double count)
{
    char text[32];
    const auto end = std::to_chars(std::begin(text), std::end(text), count).ptr;
    return std::string(text, end);
}

std::string print_ports(const PortRange& ports)
{
    const auto first = std::to_string(ports.first());
    return ports.size() == 1 ? first : first + "-" + std::to_string(ports.last());
}

Parsed<mode_t> parse_permissions(std::string_view text)
{
    if (text.size() != 4 || text.front() != '0' || text.find_first_not_of("01234567") != text.npos)
        return wrong("'" + std::string(text) + "' are no permissions; write 0600 or 0666");
    mode_t mode = 0;
    for (const char digit : text)
        mode = mode << 3 | static_cast<mode_t>(digit - '0');
    return mode;
}

std::string print_permissions(mode_t mode)
{
    std::string digits = "0000";
    for (unsigned i = 0; i < digits.size(); ++i)
        digits[3 - i] = static_cast<char>('0' + (mode >> 3 * i & 7));
    return digits;
}

Parsed<std::string> parse_hex(std::string_view text, std::size_t count)
{
    const auto bytes = from_hex(text);
    if (text.size() != count || !bytes)
        return wrong("expected " + std::to_string(count) + " hexadecimal digits, found " + std::to_string(text.size()) +
                     " characters");
    return *bytes;
}

Parsed<std::string> parse_escaped(std::string_view text)
{
    static constexpr std::pair<char, char> escapes[] = {
        {'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'0', '\0'}, {'\\', '\\'}};
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            bytes += text[i];
            continue;
        }
        const char letter = ++i < text.size() ? text[i] : ' ';
        const auto escape = std::find_if(std::begin(escapes), std::end(escapes),
                                         [letter](const auto& known) { return known.first == letter; });
        const auto hex = letter == 'x' ? parse_hex(text.substr(i + 1, 2), 2) : Parsed<std::string>(wrong(""));
        if (!hex && escape == std::end(escapes))
            return wrong(in_quotes(text) +
                         " has a backslash that means nothing; write \\r, \\n, \\t, \\0, \\\\ or \\xHH");
        bytes += hex ? *hex : std::string(1, escape->second);
        i += hex ? 2 : 0;
    }
    return bytes;
}

Parsed<PortRange> parse_ports(std::string_view text)
{
    const auto dash = text.find('-');
    const auto first = to_number(text.substr(0, dash));
    const auto last = dash == text.npos ? first : to_number(text.substr(dash + 1));
    if (!first || !last || *first == 0 || *last > 65535)
        return wrong(in_quotes(text) + " is not a range of ports; write 8000-8009");
    if (*first > *last)
        return wrong(in_quotes(text) + " runs backwards; write " + std::to_string(*last) + "-" +
                     std::to_string(*first));
    return PortRange(static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last));
}

bool is_user_range(std::string_view text)
{
    return text.find('-') != text.npos && text.find_first_not_of("0123456789-") == text.npos;
}

Parsed<UserRange> parse_users(std::string_view text)
{
    const auto dash = text.find('-');
    const auto first = to_number(text.substr(0, dash));
    const auto last = dash == text.npos ? first : to_number(text.substr(dash + 1));
    constexpr std::uint64_t most = 65'536;
    // The highest number means "nobody is meant" to the system.
    if (!first || !last || *first == 0 || *last >= UINT32_MAX)
        return wrong(in_quotes(text) + " is not a range of users; write 70000-70063");
    if (*first > *last)
        return wrong(in_quotes(text) + " runs backwards; write " + std::to_string(*last) + "-" +
                     std::to_string(*first));
    if (*last - *first >= most)
        return wrong(in_quotes(text) + " has more than 65536 users; write 70000-70063");
    return UserRange(static_cast<uid_t>(*first), static_cast<uid_t>(*last));
}

Parsed<std::pair<std::string, std::string>> parse_assignment(std::string_view text)
{
    const auto equals = text.find('=');
    if (equals == text.npos || equals == 0)
        return wrong(in_quotes(text.substr(0, equals)) + " sets nothing; write NAME=VALUE");
    return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

Parsed<std::string> parse_name(std::string_view text)
{
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    const bool begins_well = !text.empty() && text.front() != '-' && text.front() != '_';
    if (!begins_well || text.size() > 63 || !std::all_of(text.begin(), text.end(), fits))
        return wrong(in_quotes(text) +
                     " is not a name; write up to 63 letters, digits, - and _, a letter or digit first");
    return std::string(text);
}

std::string Address::text() const
{
    switch (kind_) {
    case Kind::unix_socket: return "unix:" + name_;
    case Kind::inherited: return "fd:" + name_;
    case Kind::tcp: break;
    }
    const auto port = ":" + std::to_string(port_);
    return name_.find(':') == name_.npos ? name_ + port : "[" + name_ + "]" + port;
}

bool Address::collides(const Address& other) const
{
    if (kind_ != other.kind_)
        return false;
    if (kind_ != Kind::tcp)
        return name_ == other.name_;
    if (port_ == 0 || port_ != other.port_)
        return false;
    return covers(name_, other.name_) || covers(other.name_, name_);
}

Parsed<Address> parse_address(std::string_view text)
{
    const auto is_prefixed = [&](std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; };
    if (is_prefixed("unix:")) {
        const auto path = text.substr(5);
        if (path.empty() || path == "@")
            return wrong(in_quotes(text) + " names no socket; write unix:/path, or unix:@name for an abstract one");
        return Address::unix_socket(std::string(path));
    }
    if (is_prefixed("fd:")) {
        if (text.size() == 3)
            return wrong("'fd:' names no socket; write fd:NAME with the FileDescriptorName= of the socket unit");
        return Address::inherited(std::string(text.substr(3)));
    }
    const auto colon = text.rfind(':');
    if (colon == text.npos) {
        if (to_number(text))
            return wrong(in_quotes(text) + " has no colon; write :" + std::string(text) +
                         " to listen on every address, or 127.0.0.1:" + std::string(text));
        return wrong(in_quotes(text) + " has no port; write host:port, [v6]:port, :port, unix:/path or fd:NAME");
    }
    const auto port = parse_port(text.substr(colon + 1));
    if (!port)
        return wrong(port.error());
    auto host = text.substr(0, colon);
    const bool in_brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (in_brackets)
        host = host.substr(1, host.size() - 2);
    if (in_brackets != is_v6(host) || host.find_first_of("[]") != host.npos)
        return wrong(in_quotes(text) + (in_brackets ? " has no IPv6 address in its brackets; write [::1]:1337"
                                                    : " is ambiguous; write an IPv6 address in brackets, [::1]:1337"));
    if (is_link_local_without_zone(host))
        return wrong(in_quotes(text) + " is link-local and names no interface; write [" + std::string(host) +
                     "%eth0]:" + std::to_string(*port) + " with the one that is meant");
    return Address::tcp(std::string(host), *port);
}

Parsed<std::vector<Address>> parse_addresses(std::string_view text)
{
    constexpr std::size_t most = 1000;
    const auto colon = text.rfind(':');
    const bool is_range = !text.starts_with("unix:") && !text.starts_with("fd:") && colon != text.npos &&
                          text.find('-', colon) != text.npos;
    if (!is_range) {
        auto address = parse_address(text);
        return address ? Parsed<std::vector<Address>>({std::move(*address)}) : wrong(address.error());
    }
    const auto ports = parse_ports(text.substr(colon + 1));
    if (!ports)
        return wrong(ports.error());
    if (ports->size() > most)
        return wrong(in_quotes(text) + " has " + std::to_string(ports->size()) + " ports; write 1000 at most");
    std::vector<Address> addresses;
    for (std::size_t i = 0; i < ports->size(); ++i) {
        auto address = parse_address(std::string(text.substr(0, colon + 1)) + std::to_string(ports->first() + i));
        if (!address)
            return wrong(address.error());
        addresses.push_back(std::move(*address));
    }
    return addresses;
}

}  // namespace instancer::daemon
