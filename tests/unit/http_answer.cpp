// SPDX-License-Identifier: MIT
// What web servers answer, taken apart.
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "authentication/web/http_answer.hpp"

using instancer::daemon::HttpAnswer;

namespace {

/// Status and body, or what is wrong; `unfinished` where more is needed.
std::string text_of(const HttpAnswer& answer)
{
    if (!answer.problem().empty())
        return answer.problem();
    return answer.wants_more() ? "unfinished" : std::to_string(answer.status()) + " " + answer.body();
}

/// `bytes` at once and byte by byte, which must make no difference; then, if so, the end of the connection.
std::string read(std::string_view bytes, bool ends = false)
{
    HttpAnswer whole, pieces;
    whole.feed(bytes);
    for (const char byte : bytes)
        pieces.feed({&byte, 1});
    if (ends) {
        whole.end();
        pieces.end();
    }
    CHECK(text_of(whole) == text_of(pieces));
    return text_of(whole);
}

std::string with_fields(const std::string& fields, const std::string& body = {})
{
    return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}

const std::string chunked = "Transfer-Encoding: chunked\r\n";

}  // namespace

TEST_CASE("web answers: a body has its length, chunks, or the rest of the connection")
{
    CHECK(read(with_fields("Content-Length: 5\r\n", "hello and more")) == "200 hello");
    CHECK(read(with_fields("content-length:0\r\n")) == "200 ");
    CHECK(read(with_fields("TRANSFER-ENCODING: Chunked\r\n", "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n")) ==
          "200 hello");
    CHECK(read("HTTP/1.0 403 \n\nhello", true) == "403 hello");
    CHECK(read("HTTP/1.1 403\r\n\r\n", true) == "403 ");
    for (const auto* status : {"204", "304", "101"})
        CHECK(read("HTTP/1.1 " + std::string(status) + " none\r\n\r\n") == std::string(status) + " ");
    CHECK(read("HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n" + with_fields("Content-Length: 1\r\n", "x")) ==
          "200 x");
}

TEST_CASE("web answers: one that is not over is none, and one that ends early says so")
{
    for (const auto& begun : {std::string(), std::string("HTTP/1.1 200"), with_fields("Content-Length: 5\r\n", "hell"),
                              with_fields(chunked, "5\r\nhell"), with_fields(chunked, "5\r\nhello\r\n0\r\n")}) {
        CHECK(read(begun) == "unfinished");
        CHECK(read(begun, true) == "its answer ends before it is complete");
    }
    CHECK(read(with_fields("", "hell")) == "unfinished");
}

TEST_CASE("web answers: a status line that is none is named")
{
    for (const auto* line : {"", "SSH-2.0-OpenSSH", "HTTP/2 200", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20",
                             "HTTP/1.1 2000 OK", "HTTP/1.1  200 OK", "http/1.1 200 OK", "\x15\x03\x03"}) {
        INFO(line);
        CHECK(read(std::string(line) + "\r\n\r\n") ==
              "its answer does not begin as one by HTTP/1.1; does a web server listen there, and by this scheme?");
    }
    for (const auto* status : {"000", "099", "600", "999", "2x0", "-20", "+20"})
        CHECK(read("HTTP/1.1 " + std::string(status) + " OK\r\n\r\n") ==
              "its answer has no valid status: they go from 100 to 599");
}

TEST_CASE("web answers: neither head nor body may be larger than its bound")
{
    const std::string too_long = "its answer has a head of more than 8 KiB, or a chunk with a line of more than 1 KiB",
                      too_large = "its answer is larger than 64 KiB";
    CHECK(read("HTTP/1.1 200 " + std::string(40'000, 'x')) == too_long);
    std::string fields;
    while (fields.size() < 8 * 1024)
        fields += "X: y\r\n";
    CHECK(read(with_fields(fields)) == too_long);
    std::string interim;
    while (interim.size() < 8 * 1024)
        interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
    CHECK(read(interim) == too_long);
    CHECK(read(with_fields(chunked, "1;" + std::string(1100, 'x'))) == too_long);
    CHECK(read(with_fields(chunked, "0\r\n" + fields)) == too_long);

    const std::string most(64 * 1024, 'x');
    const auto length = [](std::size_t size) { return "Content-Length: " + std::to_string(size) + "\r\n"; };
    CHECK(read(with_fields(length(most.size()), most)) == "200 " + most);
    CHECK(read(with_fields("", most), true) == "200 " + most);
    CHECK(read(with_fields(length(most.size() + 1))) == too_large);
    CHECK(read(with_fields("Content-Length: 99999999999999999999999\r\n")) == too_large);
    CHECK(read(with_fields("", most + "x")) == too_large);
    CHECK(read(with_fields(chunked, "10000\r\n" + most + "\r\n1\r\n")) == too_large);
    for (const auto* size : {"10001", "ffffffffffffffff", "fffffffffffffffffffff"})
        CHECK(read(with_fields(chunked, std::string(size) + "\r\n")) == too_large);
}

TEST_CASE("web answers: lengths, chunks and fields that mean nothing, or two things, are refused")
{
    for (const auto* length : {"", "x", "-1", "+1", "1 2", "0x1", "1, 1"})
        CHECK(read(with_fields("Content-Length: " + std::string(length) + "\r\n", "x")) ==
              "its answer has no valid length");
    CHECK(read(with_fields("Content-Length: 1\r\nContent-Length: 2\r\n", "xy")) == "its answer has no valid length");
    CHECK(read(with_fields("Content-Length: 1\r\nContent-Length: 1\r\n", "xy")) == "200 x");
    CHECK(read(with_fields(chunked + "Content-Length: 1\r\n", "x")) == "its answer has both a length and chunks");
    for (const auto* coding : {"gzip", "gzip, chunked", ""})
        CHECK(read(with_fields("Transfer-Encoding: " + std::string(coding) + "\r\n")) ==
              "its answer has a transfer encoding other than chunked");
    for (const auto* size : {"", "x", "-1", "0x1", ";a=b", " 1"})
        CHECK(read(with_fields(chunked, std::string(size) + "\r\n")) == "its answer has a chunk without a valid size");
    CHECK(read(with_fields(chunked, "1\r\nxy\r\n")) == "its answer has a chunk that is longer than its size");
    for (const auto* field : {"no colon", ": x", "a b: x", " folded: x", "a\x01: x"})
        CHECK(read(with_fields(std::string(field) + "\r\n")) == "its answer has a header field that is none");
}
