// SPDX-License-Identifier: MIT
#include "modes/oci/oci_images.hpp"

#include <cstdlib>
#include <ostream>
#include <system_error>
#include <vector>

#include <instancer/backend/oci_backend.hpp>
#include <instancer/system/last_error.hpp>

#include "config/checker.hpp"

namespace instancer::daemon {

namespace {

namespace fs = std::filesystem;

/// A store that goes, with all in it, when this does.
class PassingStore {
public:
    PassingStore() : store_(open(path_)) {}
    PassingStore(const PassingStore&) = delete;
    ~PassingStore()
    {
        if (path_.empty())
            return;
        // It removes directories that its owner may not write to as well.
        if (store_)
            static_cast<void>(store_->prune({}));
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }

    Result<OciImage> import(const std::string& archive)
    {
        if (!store_)
            return fail(store_.error());
        return store_->import_archive(archive);
    }

private:
    /// Sets the path once there is a directory.
    static Result<OciStore> open(std::string& path)
    {
        std::error_code error;
        const auto temporary = fs::temp_directory_path(error);
        if (error)
            return fail(error, "looking for a directory to unpack it in (set TMPDIR to one that exists)");
        auto made = (temporary / "instancerd-check-XXXXXX").string();
        if (::mkdtemp(made.data()) == nullptr)
            return fail(last_error(), "making the directory " + made + " (set TMPDIR to have it elsewhere)");
        path = std::move(made);
        return OciStore::open(path);
    }

    std::string path_;
    Result<OciStore> store_;
};

/// The same path for the same directory, however it is written.
fs::path canonical(const std::string& directory)
{
    std::error_code error;
    auto path = fs::weakly_canonical(directory, error);
    return error ? fs::path(directory) : path;
}

/// Whether the archive has what the options leave to it.
Result<void> check_archive(const ServiceSettings& service)
{
    PassingStore store;
    auto image = store.import(service.oci.archive);
    if (!image)
        return fail(image.error());
    OciOptions options;
    options.image = std::move(*image);
    options.command = service.command;
    options.io = service.docker.io;
    options.port = service.docker.port;
    options.user = service.user;
    return OciBackend::check_image(options);
}

/// Whose archives the digests of a store are.
using ArchivesByStore = std::map<fs::path, std::vector<std::string>>;

ArchivesByStore archives_of(const Settings& settings)
{
    ArchivesByStore archives;
    for (const auto& service : settings.services)
        if (!service.oci.archive.empty())
            archives[canonical(service.oci.store)].push_back(service.oci.archive);
    return archives;
}

Result<std::vector<std::string>> prune(const fs::path& directory, const std::vector<std::string>& archives)
{
    auto store = OciStore::open(directory);
    if (!store && store.error() == Errc::backend_unavailable)
        return fail(Errc::backend_unavailable, directory.string() + " is in use by a daemon; stop it first");
    if (!store)
        return fail(store.error());
    std::vector<std::string> used;
    for (const auto& archive : archives) {
        auto digest = store->digest_of(archive);
        if (!digest)
            return fail(digest.error());
        used.push_back(std::move(*digest));
    }
    return store->prune(used);
}

}  // namespace

Result<OciImage> OciImages::import(const std::string& archive, const std::string& directory,
                                   const std::stop_token& stop)
{
    const std::lock_guard lock(mutex_);
    const auto path = canonical(directory);
    auto found = stores_.find(path);
    if (found == stores_.end()) {
        auto store = OciStore::open(path);
        if (!store)
            return fail(store.error());
        found = stores_.emplace(path, std::move(*store)).first;
    }
    OciImport import;
    import.stop = stop;
    return found->second.import_archive(archive, import);
}

Problems check_archives(const Settings& settings)
{
    Problems problems;
    for (const auto& service : settings.services)
        if (!service.oci.archive.empty())
            if (const auto checked = check_archive(service); !checked)
                problems.emplace_back(place_of(service, "archive"), checked.error().message());
    return problems;
}

Parsed<void> prune_images(const Settings& settings, std::ostream& out)
{
    std::size_t count = 0;
    for (const auto& [directory, archives] : archives_of(settings)) {
        std::error_code error;
        if (!fs::exists(directory, error))
            continue;
        const auto removed = prune(directory, archives);
        if (!removed)
            return wrong(removed.error().message());
        for (const auto& digest : *removed)
            out << "removed " << digest << " from " << directory.string() << '\n';
        count += removed->size();
    }
    if (count == 0)
        out << "nothing to remove\n";
    return {};
}

}  // namespace instancer::daemon
