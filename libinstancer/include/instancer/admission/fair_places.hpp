// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/acceptor/source.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Places that clients wait for while all are taken. Their sources take turns: however many clients one source has,
/// others wait for one of them each time.
///
/// Lifetime: may go before its places.
/// Threads: any.
class FairPlaces {
public:
    class Place;

    /// `count` places, at least one.
    explicit FairPlaces(std::size_t count);

    /// A place for a client of `source`, once it is its turn.
    ///
    /// Cancellation: terminal.
    /// Errors: asio::error::operation_aborted.
    asio::awaitable<Result<Place>> take(Source source);

private:
    class Shared;

    const std::shared_ptr<Shared> shared_;
};

/// One place, which destroying gives back.
class FairPlaces::Place {
public:
    /// Takes the place over.
    Place(Place&&) = default;
    Place& operator=(Place&&) = delete;
    ~Place();

private:
    friend class FairPlaces;

    explicit Place(std::shared_ptr<Shared> owner) : owner_(std::move(owner)) {}

    std::shared_ptr<Shared> owner_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/fair_places.hpp>
#endif
