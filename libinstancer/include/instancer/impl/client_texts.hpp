// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <instancer/client_texts.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/placeholders.hpp>

namespace instancer {

namespace detail {

/// `90s`, `15m` or `3h`: no shorter than it is. `a moment` for a span that is over or not known.
inline std::string in_words(std::chrono::steady_clock::duration span)
{
    using namespace std::chrono;
    if (span <= span.zero())
        return "a moment";
    if (span <= minutes(2))
        return std::to_string(ceil<seconds>(span).count()) + "s";
    if (span <= hours(2))
        return std::to_string(ceil<minutes>(span).count()) + "m";
    return std::to_string(ceil<hours>(span).count()) + "h";
}

/// The text for a client that is refused because of `error`.
inline std::string text_for(const ClientTexts& texts, const Error& error, bool knows_wait)
{
    if (error.code().category() != error_category())
        return {};
    switch (static_cast<Errc>(error.code().value())) {
    case Errc::full: return knows_wait ? texts.often : texts.full;
    case Errc::culled: return texts.full;
    case Errc::owner_full: return texts.enough;
    case Errc::queue_timeout: return texts.late;
    case Errc::rejected: return texts.rejected;
    case Errc::timeout: return texts.silent;
    case Errc::start_failed:
    case Errc::start_timeout:
    case Errc::backend_unavailable:
    case Errc::not_ready:
    case Errc::instance_gone: return texts.unavailable;
    case Errc::stopping: return texts.stopping;
    default: return {};
    }
}

}  // namespace detail

INSTANCER_DECL std::string ClientTexts::line_for(const QueuePlace& place) const
{
    if (queued.empty())
        return {};
    const auto text = detail::replaced(queued, "{position}", std::to_string(place.position()));
    return detail::replaced(text, "{waiting}", std::to_string(place.waiting())) + "\n";
}

INSTANCER_DECL std::string ClientTexts::line_for(const Error& error, std::chrono::steady_clock::duration wait) const
{
    return line_with_wait(detail::text_for(*this, error, wait > wait.zero()), wait);
}

INSTANCER_DECL std::string line_with_wait(const std::string& text, std::chrono::steady_clock::duration wait)
{
    return text.empty() ? text : detail::replaced(text, "{wait}", detail::in_words(wait)) + "\n";
}

}  // namespace instancer
