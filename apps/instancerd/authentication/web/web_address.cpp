// SPDX-License-Identifier: MIT
#include "authentication/web/web_address.hpp"

#include <algorithm>

#include <asio/ip/address.hpp>

namespace instancer::daemon {

namespace {

/// Takes `host`, `host:port` or `[v6]:port` apart. False where it is none of them.
bool take_apart(std::string_view authority, WebAddress& address)
{
    const bool bracketed = authority.starts_with('[');
    const auto end = bracketed ? authority.find(']') : std::min(authority.find(':'), authority.size());
    if (end == authority.npos)
        return false;
    address.host = bracketed ? authority.substr(1, end - 1) : authority.substr(0, end);
    const auto rest = authority.substr(end + (bracketed ? 1 : 0));
    address.port = address.secure ? 443 : 80;
    if (rest.empty())
        return true;
    const auto port = parse_count(rest.substr(1), 1, 65535);
    if (rest.front() != ':' || !port)
        return false;
    address.port = static_cast<std::uint16_t>(*port);
    return true;
}

}  // namespace

bool WebAddress::is_loopback() const
{
    asio::error_code error;
    const auto address = asio::ip::make_address(host, error);
    return error ? host == "localhost" : address.is_loopback();
}

Parsed<WebAddress> parse_web_address(std::string_view text)
{
    constexpr std::string_view plain = "http://", secure = "https://";
    WebAddress address;
    address.secure = text.starts_with(secure);
    if (!address.secure && !text.starts_with(plain))
        return wrong("is no address of a web server; write https://HOST/PATH");
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; }))
        return wrong("holds characters that no address of a web server has; write %20 and the like for them");
    const auto begin = (address.secure ? secure : plain).size();
    const auto end = std::min(text.find_first_of("/?#", begin), text.size());
    const auto authority = text.substr(begin, end - begin);
    if (!take_apart(authority, address) || address.host.empty() || authority.find('@') != authority.npos)
        return wrong("names no host; write https://HOST/PATH or https://HOST:PORT/PATH, without a user");
    address.origin = text.substr(0, end);
    address.path = text.substr(end);
    if (!address.path.empty() && (address.path.front() != '/' || address.path.find('#') != text.npos))
        return wrong("has no path behind its host, or a part behind #; write https://HOST/PATH");
    return address;
}

}  // namespace instancer::daemon
