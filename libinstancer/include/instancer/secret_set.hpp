// SPDX-License-Identifier: MIT
#pragma once

#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <instancer/detail/crypto/sip_hash.hpp>
#include <instancer/equal_secrets.hpp>

namespace instancer {

/// Secrets that one is looked up among. Where a text is looked for depends on a key that nobody knows, and it is
/// compared as a whole: the time that takes says neither how near it comes to a secret nor how many there are.
///
/// Threads: any.
class SecretSet {
public:
    /// Holds these; a text that is there twice counts once.
    explicit SecretSet(std::vector<std::string> secrets) { replace(std::move(secrets)); }

    /// Holds these from now on, and no others. A look-up that is under way may still use the old ones.
    void replace(std::vector<std::string> secrets)
    {
        auto fresh = std::make_shared<const Set>(std::make_move_iterator(secrets.begin()),
                                                 std::make_move_iterator(secrets.end()));
        const std::lock_guard lock(mutex_);
        secrets_.swap(fresh);
    }

    /// Whether `candidate` is one of them.
    ///
    /// Time: constant on average, whatever is held.
    bool contains(std::string_view candidate) const
    {
        std::shared_ptr<const Set> secrets;
        {
            const std::lock_guard lock(mutex_);
            secrets = secrets_;
        }
        return secrets->find(candidate) != secrets->end();
    }

private:
    struct Equal {
        using is_transparent = void;
        bool operator()(std::string_view a, std::string_view b) const noexcept { return equal_secrets(a, b); }
    };
    using Set = std::unordered_set<std::string, detail::SipHash, Equal>;

    mutable std::mutex mutex_;
    std::shared_ptr<const Set> secrets_;
};

}  // namespace instancer
