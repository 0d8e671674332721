// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// A program with the command line of runc, which makes containers.
class OciRuntime {
public:
    /// Looks for the runtime; without a name for crun, or else runc.
    ///
    /// Time: runs it once, to learn what it is.
    /// Errors: Errc::bad_request, with the remedy.
    static Result<OciRuntime> find(const std::string& name);

    const std::string& path() const noexcept { return path_; }

    /// Whether it takes a filter of system calls as the kernel does, and can leave control groups alone.
    bool is_crun() const noexcept { return is_crun_; }

    /// The arguments with which it runs the container `id` in the foreground. It keeps what it remembers in `state`,
    /// and hands descriptor 3 on.
    std::vector<std::string> run_arguments(const std::string& state, const std::string& bundle,
                                           const std::string& id) const;

    /// Ends and removes each container that is still in `state`, and returns their ids.
    ///
    /// Time: blocks, for some 10 ms each.
    std::vector<std::string> remove_all(const std::string& state) const;

    /// Ends and removes the container `id`.
    void remove(const std::string& state, const std::string& id) const;

private:
    OciRuntime(std::string path, bool is_crun) : path_(std::move(path)), is_crun_(is_crun) {}

    std::vector<std::string> arguments(const std::string& state) const;

    std::string path_;
    bool is_crun_;
};

}  // namespace instancer::detail::inline oci
