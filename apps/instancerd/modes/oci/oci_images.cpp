// SPDX-License-Identifier: MIT
#include "modes/oci/oci_images.hpp"

#include <cstdlib>
#include <optional>
#include <ostream>
#include <system_error>
#include <vector>

#include <instancer/backend/oci_backend.hpp>
#include <instancer/system/last_error.hpp>

#include "config/checker.hpp"
#include "modes/oci/oci.hpp"
#include "relaxing/relaxing.hpp"
#include "sandbox/sandbox.hpp"

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

/// Whether the files of its containers have what the options leave to them.
Result<void> check_files(const Settings& settings, const ServiceSettings& service)
{
    auto options = oci_backend_options(settings, service);
    std::optional<PassingStore> store;
    if (const auto& archive = service.oci.archive; !archive.empty()) {
        auto image = store.emplace().import(archive);
        if (!image)
            return fail(image.error());
        options.image = std::move(*image);
    }
    return OciBackend::check_image(options);
}

/// Whether this process can start its containers here.
Result<void> check_host(const Settings& settings, const ServiceSettings& service)
{
    OciOptions options;
    if (service.mode == Mode::oci)
        options = oci_backend_options(settings, service);
    else if (auto sandbox = sandbox_options(settings, service))
        options = std::move(*sandbox);
    if (auto privileges = container_privileges(service.relaxing))
        options.privileges = std::move(*privileges);
    return OciBackend::check_host(options);
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

Problems check_containers(const Settings& settings)
{
    Problems problems;
    const auto note = [&](const ServiceSettings& service, std::string_view option, const Result<void>& checked) {
        if (!checked)
            problems.emplace_back(place_of(service, option), checked.error().message());
    };
    for (const auto& service : settings.services) {
        const bool is_oci = service.mode == Mode::oci;
        if (is_oci || service.sandbox)
            note(service, is_oci ? "mode" : "sandbox", check_host(settings, service));
        if (is_oci)
            note(service, service.oci.archive.empty() ? "rootfs" : "archive", check_files(settings, service));
    }
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
