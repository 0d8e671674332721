// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <typeinfo>
#include <variant>

#include <asio/any_io_executor.hpp>
#include <asio/io_context.hpp>

namespace instancer::detail {

/// An executor for those of which there are many: two words for the one of an io_context, where a type-erased one
/// takes seven; any other is kept beside.
class CompactExecutor {
public:
    explicit CompactExecutor(const asio::any_io_executor& executor) : executor_(compact(executor)) {}

    asio::any_io_executor get() const
    {
        if (const auto* plain = std::get_if<Plain>(&executor_))
            return *plain;
        return *std::get<Other>(executor_);
    }

private:
    using Plain = asio::io_context::executor_type;
    using Other = std::unique_ptr<asio::any_io_executor>;

    static std::variant<Plain, Other> compact(const asio::any_io_executor& executor)
    {
        // Asio 1.22 gives the target out whatever its type is.
        if (executor.target_type() == typeid(Plain))
            return *executor.target<Plain>();
        return std::make_unique<asio::any_io_executor>(executor);
    }

    std::variant<Plain, Other> executor_;
};

}  // namespace instancer::detail
