// SPDX-License-Identifier: MIT
// A client of the relay as its protocol has it: written from that alone, and from nothing of ours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "raw_client.hpp"

namespace daemon_test {

/// Connects and receives the banner, which ends in a newline.
class RelayClient : public RawClient {
public:
    explicit RelayClient(std::uint16_t port) : RawClient(port)
    {
        REQUIRE(connected());
        banner_ = receive_line();
    }

    /// Connects and joins a channel, which is four hexadecimal digits.
    RelayClient(std::uint16_t port, std::string_view secret, std::string_view channel) : RelayClient(port)
    {
        send(std::string(secret) + std::string(channel));
        REQUIRE(receive(5) == "READY");
    }

    const std::string& banner() const noexcept { return banner_; }

private:
    std::string banner_;
};

}  // namespace daemon_test
