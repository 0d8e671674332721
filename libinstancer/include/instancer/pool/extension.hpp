// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace instancer {

/// The answer to the wish that an instance may live longer than its `ttl`.
class Extension {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    /// Whether it may, or why not.
    enum class Answer {
        granted,      ///< It ends at `time`, if nothing ends it before.
        no_instance,  ///< There is none that serves an owner.
        not_offered,  ///< Instances have no `ttl`, or none that can be extended.
        too_early,    ///< Its end is too far away: ask again at `time`.
        used_up,      ///< It has been extended by all that is allowed, and ends at `time`.
    };

    Extension() = default;
    /// An answer, and the time that it speaks of.
    explicit Extension(Answer what, Time when = {}) : answer(what), time(when) {}

    Answer answer = Answer::no_instance;  ///< Whether it may live longer, or why not.
    Time time{};                          ///< What the answer speaks of.
    std::chrono::seconds total{0};        ///< With `granted`: by how much it has been extended in all.
};

}  // namespace instancer
