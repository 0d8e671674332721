// SPDX-License-Identifier: MIT
// What is asked for about clients that show something that no list holds.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace instancer::daemon {

/// What becomes of clients while nobody can say who they are.
enum class WhenUnreachable { refuse, cached };

/// Who is asked by HTTP whose a token is.
class WebSettings {
public:
    std::string url;
    std::chrono::milliseconds timeout{5'000};
    std::chrono::milliseconds cache{0};
    WhenUnreachable when_down = WhenUnreachable::refuse;

    WebSettings() = default;
};

class AuthenticationSettings {
public:
    std::vector<std::string> keys;  ///< Files of keys that tokens are signed with.
    WebSettings web;
    bool menu = false;  ///< A client who is known has a choice before it goes on.

    AuthenticationSettings() = default;
};

}  // namespace instancer::daemon
