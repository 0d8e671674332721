// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include <instancer/detail/config.hpp>
#include <instancer/pool/queue_place.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Texts for clients that wait for an instance, or get none. An empty text is not sent. In all of them `{wait}`
/// stands for how long to wait; it is `a moment` where that is not known, or over.
class ClientTexts {
public:
    std::string queued = "queue: {position} of {waiting}";       ///< Whenever one of both changes.
    std::string full = "all places are taken; come back later";  ///< A cap is reached.
    std::string enough = "you have as many instances as you may; come back when one has ended";  ///< An owner's cap.
    std::string often = "too often; come back in {wait}";                                        ///< A rate is reached.
    std::string late = "no place came free in time; come back later";  ///< The wait in the queue was long.
    std::string rejected = "you are not let in: that was wrong";       ///< The client sent something wrong.
    std::string silent = "you are not let in: nothing came in time";   ///< A stage had to wait for too long.
    std::string unavailable = "no instance can be started; come back in a while";  ///< A start failed.
    std::string stopping = "the service is being stopped; come back later";        ///< The server takes nobody in.

    ClientTexts() = default;

    /// The line for a client that waits.
    std::string line_for(const QueuePlace& place) const;

    /// The line for a client that is refused because of `error` and may come back after `wait`, or 0 if that is not
    /// known. Empty for a client that has left or is denied, which is told nothing.
    std::string line_for(const Error& error, std::chrono::steady_clock::duration wait) const;
};

/// `text` as a line, with `wait` in words in place of each `{wait}`; empty if it is empty.
INSTANCER_DECL std::string line_with_wait(const std::string& text, std::chrono::steady_clock::duration wait);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/client_texts.hpp>
#endif
