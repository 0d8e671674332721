// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/equal_secrets.hpp>

namespace instancer::detail {

/// Secrets that one is looked up among.
///
/// Threads: any.
class SecretSet {
public:
    explicit SecretSet(std::vector<std::string> secrets) { replace(std::move(secrets)); }

    void replace(std::vector<std::string> secrets)
    {
        auto fresh = std::make_shared<const std::vector<std::string>>(std::move(secrets));
        const std::lock_guard lock(mutex_);
        secrets_.swap(fresh);
    }

    /// Compares with every one, so that the time says nothing about which one it is.
    bool contains(std::string_view candidate) const
    {
        std::shared_ptr<const std::vector<std::string>> secrets;
        {
            const std::lock_guard lock(mutex_);
            secrets = secrets_;
        }
        unsigned found = 0;
        for (const auto& secret : *secrets)
            found |= equal_secrets(secret, candidate) ? 1u : 0u;
        return found != 0;
    }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const std::vector<std::string>> secrets_;
};

}  // namespace instancer::detail
