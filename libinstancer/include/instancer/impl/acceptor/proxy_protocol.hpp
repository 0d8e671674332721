// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL std::string bytes_of(const asio::ip::address& address)
{
    const auto text = [](const auto& bytes) { return std::string(bytes.begin(), bytes.end()); };
    return address.is_v4() ? text(address.to_v4().to_bytes()) : text(address.to_v6().to_bytes());
}

}  // namespace instancer::detail

namespace instancer {

INSTANCER_DECL void to_one_family(asio::ip::address& one, asio::ip::address& other)
{
    if (one.is_v4() == other.is_v4())
        return;
    auto& narrow = one.is_v4() ? one : other;
    narrow = asio::ip::make_address_v6(asio::ip::v4_mapped, narrow.to_v4());
}

INSTANCER_DECL std::string encode_proxy_header(ProxyVersion version, const ClientInfo& client)
{
    const bool has_address = client.peer() && client.local();
    auto source = has_address ? client.peer()->address() : asio::ip::address();
    auto target = has_address ? client.local()->address() : asio::ip::address();
    to_one_family(source, target);

    if (version == ProxyVersion::v1) {
        if (!has_address)
            return "PROXY UNKNOWN\r\n";
        return (source.is_v4() ? "PROXY TCP4 " : "PROXY TCP6 ") + detail::text_of(source) + " " +
               detail::text_of(target) + " " + std::to_string(client.peer()->port()) + " " +
               std::to_string(client.local()->port()) + "\r\n";
    }

    std::string addresses;
    char command = 0x21, family = 0x11;
    if (has_address) {
        family = source.is_v4() ? 0x11 : 0x21;
        addresses = detail::bytes_of(source) + detail::bytes_of(target) + detail::big_endian(client.peer()->port()) +
                    detail::big_endian(client.local()->port());
    } else if (!client.path().empty()) {
        family = 0x31;
        addresses = std::string(detail::proxy_path_size, '\0') + client.path().substr(0, detail::proxy_path_size);
        addresses.resize(2 * detail::proxy_path_size, '\0');
    } else {
        command = 0x20;
        family = 0x00;
    }
    return std::string(detail::proxy_signature) + command + family +
           detail::big_endian(static_cast<std::uint16_t>(addresses.size())) + addresses;
}

INSTANCER_DECL void ProxyHeaderParser::take(char byte)
{
    if (have_ == 0)
        binary_ = byte == detail::proxy_signature.front();
    const auto begin = binary_ ? detail::proxy_signature : detail::proxy_line_begin;
    if (have_ < begin.size() && byte != begin[have_])
        return malformed("there is no PROXY header");
    if (binary_)
        take_binary(byte);
    else
        take_text(byte);
}

INSTANCER_DECL void ProxyHeaderParser::take_text(char byte)
{
    const bool ends = have_ > 0 && previous() == '\r';
    if ((byte == '\n') != ends)
        return malformed("its line does not end with carriage return and line feed");
    keep(byte);
    if (ends)
        return finish_line();
    if (have_ == max_line)
        return malformed("its line is longer than 107 bytes");
}

INSTANCER_DECL void ProxyHeaderParser::finish_line()
{
    const auto begin = detail::proxy_line_begin.size();
    const std::string_view line(kept_.data() + begin, have_ - begin - 2);
    std::vector<std::string> fields(1);
    for (const char c : line) {
        if (c == ' ')
            fields.emplace_back();
        else
            fields.back() += c;
    }
    if (fields.front() == "UNKNOWN")
        return complete();
    if (fields.front() != "TCP4" && fields.front() != "TCP6")
        return malformed("its protocol is none of TCP4, TCP6 and UNKNOWN");
    if (fields.size() != 5)
        return malformed("it has not two addresses and two ports");
    const bool is_v4 = fields.front() == "TCP4";
    const auto source = to_address(is_v4, fields[1]), target = to_address(is_v4, fields[2]);
    if (!source || !target)
        return malformed(is_v4 ? "an address of it is no IPv4 address" : "an address of it is no IPv6 address");
    const auto source_port = to_port(fields[3]), target_port = to_port(fields[4]);
    if (!source_port || !target_port)
        return malformed("a port of it is no number from 0 to 65535");
    complete(ClientInfo({*source, *source_port}, {*target, *target_port}));
}

INSTANCER_DECL std::optional<asio::ip::address> ProxyHeaderParser::to_address(bool is_v4, const std::string& text)
{
    if (text.find('\0') != text.npos)
        return std::nullopt;
    if (is_v4) {
        asio::ip::address_v4::bytes_type bytes;
        if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
            return asio::ip::address_v4(bytes);
    } else {
        asio::ip::address_v6::bytes_type bytes;
        if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1)
            return asio::ip::address_v6(bytes);
    }
    return std::nullopt;
}

INSTANCER_DECL std::optional<std::uint16_t> ProxyHeaderParser::to_port(const std::string& text)
{
    const bool has_zero_before = text.size() > 1 && text.front() == '0';
    if (text.empty() || text.size() > 5 || has_zero_before || text.find_first_not_of("0123456789") != text.npos)
        return std::nullopt;
    unsigned port = 0;
    for (const char digit : text)
        port = 10 * port + static_cast<unsigned>(digit - '0');
    return port <= 65535 ? std::optional(static_cast<std::uint16_t>(port)) : std::nullopt;
}

INSTANCER_DECL void ProxyHeaderParser::take_binary(char byte)
{
    keep(byte);
    if (have_ == 13 && at(12) >> 4 != 2)
        return malformed("its version is not 2");
    if (have_ == 13 && (at(12) & 15) > 1)
        return malformed("its command is neither LOCAL nor PROXY");
    if (have_ == 14 && !is_local() && (at(13) >> 4 > 3 || (at(13) & 15) > 2))
        return malformed("its address family or protocol is unknown");
    if (have_ == fixed_size) {
        size_ = fixed_size + number_at(14);
        if (size_ > fixed_size + max_payload)
            return malformed("it is longer than 4096 bytes");
        if (size_ < fixed_size + address_size())
            return malformed("it is too short for its addresses");
    }
    if (have_ >= fixed_size && have_ == size_)
        finish_binary();
}

INSTANCER_DECL std::size_t ProxyHeaderParser::address_size() const noexcept
{
    static constexpr std::size_t sizes[] = {0, 12, 36, 2 * detail::proxy_path_size};
    const bool has_none = is_local() || (at(13) & 15) == 0;
    return has_none ? 0 : sizes[at(13) >> 4];
}

INSTANCER_DECL void ProxyHeaderParser::finish_binary()
{
    switch (address_size()) {
    case 12: return finish_addresses<asio::ip::address_v4>();
    case 36: return finish_addresses<asio::ip::address_v6>();
    case 2 * detail::proxy_path_size: {
        const std::string path(kept_.data() + fixed_size + detail::proxy_path_size, detail::proxy_path_size);
        return complete(ClientInfo(path.substr(0, path.find('\0'))));
    }
    default: return complete();
    }
}

}  // namespace instancer
