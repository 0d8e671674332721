// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "options/values.hpp"

namespace instancer::daemon {

/// A file, or several, that somebody else may move away while they are written.
class ReopenedFile {
public:
    virtual ~ReopenedFile() = default;

    /// What is written from now on goes to where the path leads now. The error says what happens instead.
    ///
    /// Threads: any.
    virtual Parsed<void> reopen() = 0;
};

/// All files of the daemon that are opened again when something like logrotate has moved them away.
///
/// Threads: any.
class ReopenedFiles {
public:
    void add(std::weak_ptr<ReopenedFile> file)
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(files_, [](const auto& old) { return old.expired(); });
        files_.push_back(std::move(file));
    }

    /// What went wrong.
    std::vector<std::string> reopen()
    {
        std::vector<std::string> errors;
        for (const auto& weak : all())
            if (const auto file = weak.lock())
                if (const auto reopened = file->reopen(); !reopened)
                    errors.push_back(reopened.error());
        return errors;
    }

private:
    std::vector<std::weak_ptr<ReopenedFile>> all()
    {
        const std::lock_guard lock(mutex_);
        return files_;
    }

    std::mutex mutex_;  ///< Guards what follows.
    std::vector<std::weak_ptr<ReopenedFile>> files_;
};

}  // namespace instancer::daemon
