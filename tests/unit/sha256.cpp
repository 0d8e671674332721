// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <instancer/detail/crypto/sha256.hpp>
#include <instancer/text/hex.hpp>

namespace {

using instancer::detail::Sha256;

std::string finished(Sha256& hash) { return instancer::to_hex(hash.finish()); }

std::string sha256(std::string_view data)
{
    Sha256 hash;
    hash.update(data);
    return finished(hash);
}

}  // namespace

TEST_CASE("sha256: the examples of FIPS 180-4")
{
    CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(sha256("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                 "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu") ==
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(sha256(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: it does not matter in which pieces the data comes")
{
    std::string data;
    for (int i = 0; i < 200; ++i)
        data += static_cast<char>(i * 7);
    for (std::size_t size = 0; size <= data.size(); ++size) {
        const auto whole = sha256(data.substr(0, size));
        for (const std::size_t cut : {std::size_t{0}, size / 3, size / 2, size}) {
            Sha256 hash;
            hash.update(std::string_view(data).substr(0, cut));
            hash.update(std::string_view(data).substr(cut, size - cut));
            REQUIRE(finished(hash) == whole);
        }
    }
}
