// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <instancer/detail/crypto/sha256.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// Sixteen bytes that stand for something that must not be stored itself.
class Digest {
public:
    static constexpr std::size_t size = 16;  ///< Bytes of a digest.

    Digest() = default;
    /// These bytes as a digest.
    explicit Digest(const std::array<std::uint8_t, size>& bytes) : bytes_(bytes) {}

    /// Parses 32 hexadecimal digits; false when `text` is anything else.
    static bool parse(std::string_view text, Digest& digest)
    {
        if (text.size() != 2 * size)
            return false;
        const auto value = [](char c) {
            return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        };
        for (std::size_t i = 0; i < size; ++i) {
            const int high = value(text[2 * i]), low = value(text[2 * i + 1]);
            if (high < 0 || low < 0)
                return false;
            digest.bytes_[i] = static_cast<std::uint8_t>(high * 16 + low);
        }
        return true;
    }

    /// 32 lower-case hexadecimal digits.
    std::string hex() const { return to_hex(bytes_); }

    /// The first eight bytes; as good as random, so good enough for a hash table.
    std::uint64_t hash() const noexcept
    {
        std::uint64_t value;
        std::memcpy(&value, bytes_.data(), sizeof value);
        return value;
    }

    /// Whether both stand for the same.
    friend bool operator==(const Digest&, const Digest&) = default;

private:
    std::array<std::uint8_t, size> bytes_{};
};

/// The owner of an instance, as the pool and the backends know it: two digests, never the token or address itself.
class Identity {
public:
    Identity() = default;
    /// Of digests that are known, as of an instance that was left behind.
    Identity(const Digest& owner, const Digest& id, bool returning) : owner_(owner), id_(id), returning_(returning) {}

    /// Hashes (service, owner, identifier) with SHA-256 (FIPS 180-4), truncated to 16 bytes, and
    /// (service, owner) the same way. Each part is preceded by its length, so that no two triples coincide.
    ///
    /// `returning` is false for an identity that no later connection can have.
    Identity(std::string_view service, std::string_view owner, std::string_view identifier, bool returning = true)
        : returning_(returning)
    {
        detail::Sha256 hash;
        hash.update_sized(service);
        hash.update_sized(owner);
        auto whole = hash;
        owner_ = truncated(hash);
        whole.update_sized(identifier);
        id_ = truncated(whole);
    }

    /// What resets and caps per owner refer to.
    const Digest& owner() const noexcept { return owner_; }

    /// What finds the instance again.
    const Digest& id() const noexcept { return id_; }

    /// Whether a later connection can have this identity.
    bool returning() const noexcept { return returning_; }

private:
    static Digest truncated(detail::Sha256& hash)
    {
        const auto full = hash.finish();
        std::array<std::uint8_t, Digest::size> bytes;
        std::memcpy(bytes.data(), full.data(), bytes.size());
        return Digest(bytes);
    }

    Digest owner_;
    Digest id_;
    bool returning_ = true;
};

}  // namespace instancer
