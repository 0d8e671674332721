// SPDX-License-Identifier: MIT
#include "oci_index.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include <instancer/text/split.hpp>

#include "oci_digest.hpp"

namespace instancer::detail::inline oci {
namespace {

using nlohmann::json;

// Far beyond what anybody builds, since each costs another pass over the archive.
constexpr int most_nested = 4, most_manifests = 1'000;
constexpr std::size_t most_layers = 500;

/// An image of the archive that may be the one.
class Candidate {
public:
    std::string name;      ///< For the operator.
    std::string platform;  ///< Empty: its configuration says.
    std::string config;    ///< Name of the file.
    std::string config_digest;
    std::vector<OciLayer> layers;
};

/// As Go names them.
std::string architecture_of(const std::string& machine)
{
    static const std::map<std::string, std::string> names{
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "386"},           {"i586", "386"},
        {"armv7l", "arm"},   {"armv6l", "arm"},    {"loongarch64", "loong64"}};
    const auto found = names.find(machine);
    return found == names.end() ? machine : found->second;
}

/// Platforms that will do, the best one first.
std::vector<std::string> wanted_platforms(const std::string& platform)
{
    if (!platform.empty())
        return {platform};
    utsname system{};
    ::uname(&system);
    std::vector<std::string> wanted{"linux/" + architecture_of(system.machine)};
    if (wanted.front() == "linux/amd64")
        wanted.emplace_back("linux/386");
    return wanted;
}

/// Where no variant is asked for, any will do.
bool matches(const std::string& platform, const std::string& wanted)
{
    return platform == wanted || platform.starts_with(wanted + "/");
}

/// Finds the images of an archive. Throws an Error, or what nlohmann/json throws.
class Finder {
public:
    explicit Finder(const OciTexts& archive) : archive_(archive) {}

    std::vector<Candidate> find()
    {
        if (archive_.has("index.json"))
            add_index(parse("index.json", read("index.json")), 0);
        else if (archive_.has("manifest.json"))
            add_docker(parse("manifest.json", read("manifest.json")));
        else
            throw Error(Errc::bad_request,
                        "it has neither index.json nor manifest.json: it is no archive of an image; write one by "
                        "docker save, or unpack what docker export wrote into a directory of files");
        return std::move(found_);
    }

    /// What the configuration of that one says, and its layers.
    OciContents contents_of(const Candidate& candidate) const
    {
        const auto text = read_verified(candidate.config, candidate.config_digest);
        auto contents = parse_oci_config(text);
        if (!contents)
            throw Error(contents.error().code(), candidate.config + ": " + contents.error().message());
        if (contents->layers.size() != candidate.layers.size())
            throw Error(Errc::bad_request, candidate.config + ": it names " + std::to_string(contents->layers.size()) +
                                               " layers, and the archive has " +
                                               std::to_string(candidate.layers.size()));
        if (contents->layers.size() > most_layers)
            throw Error(Errc::bad_request, candidate.config + ": it has more than " + std::to_string(most_layers) +
                                               " layers: build it with fewer steps");
        for (std::size_t i = 0; i < candidate.layers.size(); ++i) {
            contents->layers[i].name = candidate.layers[i].name;
            contents->layers[i].blob_digest = candidate.layers[i].blob_digest;
        }
        return std::move(*contents);
    }

private:
    static std::string blob_name(const std::string& digest)
    {
        if (!OciDigest::is_one(digest))
            throw Error(Errc::bad_request, "'" + digest + "' is no SHA-256 digest; only these are supported");
        return "blobs/sha256/" + digest.substr(digest.find(':') + 1);
    }

    static json parse(const std::string& name, const std::string& text)
    {
        try {
            return json::parse(text);
        } catch (const json::exception& error) {
            throw Error(Errc::bad_request, name + ": " + error.what());
        }
    }

    std::string read(const std::string& name) const
    {
        auto text = archive_.read(name);
        if (!text)
            throw text.error();
        return std::move(*text);
    }

    /// Without a digest anything is right.
    std::string read_verified(const std::string& name, const std::string& digest) const
    {
        auto text = read(name);
        if (const auto actual = OciDigest::of(text); !digest.empty() && actual != digest)
            throw Error(Errc::bad_request,
                        name + ": its digest is " + actual + " and should be " + digest + ": make the archive again");
        return text;
    }

    /// What registries attach to images has this platform.
    static bool is_attachment(const json& descriptor)
    {
        return descriptor.value("annotations", json::object()).contains("vnd.docker.reference.type") ||
               platform_of(descriptor).starts_with("unknown/");
    }

    static std::string platform_of(const json& descriptor)
    {
        const auto platform = descriptor.value("platform", json::object());
        if (platform.empty())
            return {};
        auto text = platform.value("os", "") + "/" + platform.value("architecture", "");
        const auto variant = platform.value("variant", "");
        return variant.empty() ? text : text + "/" + variant;
    }

    static std::string name_of(const json& descriptor, const std::string& digest)
    {
        const auto annotations = descriptor.value("annotations", json::object());
        for (const auto* const key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"})
            if (annotations.contains(key))
                return annotations.at(key).get<std::string>();
        return digest;
    }

    void add_index(const json& index, int depth)
    {
        if (depth == most_nested)
            throw Error(Errc::bad_request, "its indexes are nested too deeply");
        for (const auto& descriptor : index.at("manifests")) {
            const auto digest = descriptor.at("digest").get<std::string>();
            const auto name = blob_name(digest);
            // An archive need not hold all that an index names.
            if (is_attachment(descriptor) || (depth > 0 && !archive_.has(name)))
                continue;
            if (++manifests_ > most_manifests)
                throw Error(Errc::bad_request, "it has too many manifests");
            const auto manifest = parse(name, read_verified(name, digest));
            if (manifest.contains("manifests"))
                add_index(manifest, depth + 1);
            else
                add_manifest(manifest, descriptor, digest);
        }
    }

    void add_manifest(const json& manifest, const json& descriptor, const std::string& digest)
    {
        Candidate candidate;
        candidate.name = name_of(descriptor, digest);
        candidate.platform = platform_of(descriptor);
        candidate.config_digest = manifest.at("config").at("digest").get<std::string>();
        candidate.config = blob_name(candidate.config_digest);
        for (const auto& layer : manifest.at("layers")) {
            const auto layer_digest = layer.at("digest").get<std::string>();
            candidate.layers.emplace_back(blob_name(layer_digest), std::string()).blob_digest = layer_digest;
        }
        add(std::move(candidate));
    }

    void add_docker(const json& manifest)
    {
        for (const auto& entry : manifest) {
            Candidate candidate;
            candidate.config = entry.at("Config").get<std::string>();
            if (const auto tags = entry.value("RepoTags", json()); tags.is_array() && !tags.empty())
                candidate.name = tags.front().get<std::string>();
            else
                candidate.name = candidate.config;
            const auto digest = "sha256:" + std::filesystem::path(candidate.config).stem().string();
            if (OciDigest::is_one(digest))
                candidate.config_digest = digest;
            for (const auto& layer : entry.at("Layers"))
                candidate.layers.emplace_back(layer.get<std::string>(), std::string());
            add(std::move(candidate));
        }
    }

    /// Each image once, whatever names it has.
    void add(Candidate candidate)
    {
        const auto same = [&](const auto& other) { return other.config == candidate.config; };
        if (std::ranges::none_of(found_, same))
            found_.push_back(std::move(candidate));
    }

    const OciTexts& archive_;
    std::vector<Candidate> found_;
    int manifests_ = 0;
};

std::string list_of(const std::vector<Candidate>& candidates, std::string Candidate::*text)
{
    std::string list;
    for (const auto& candidate : candidates)
        list += (list.empty() ? "" : ", ") + candidate.*text;
    return list;
}

/// The candidate of the best platform.
const Candidate& choose(const std::vector<Candidate>& candidates, const std::string& platform)
{
    const auto wanted = wanted_platforms(platform);
    for (const auto& one : wanted) {
        std::vector<Candidate> fitting;
        std::ranges::copy_if(candidates, std::back_inserter(fitting),
                             [&](const auto& candidate) { return matches(candidate.platform, one); });
        if (fitting.size() > 1)
            throw Error(Errc::bad_request,
                        "it has several images for " + one + ": " + list_of(fitting, &Candidate::name) + ": save one");
        if (fitting.size() == 1)
            return *std::ranges::find(candidates, fitting.front().config, &Candidate::config);
    }
    if (candidates.empty())
        throw Error(Errc::bad_request, "it has no image");
    throw Error(Errc::bad_request, "it has no image for " + wanted.front() + ", only for " +
                                       list_of(candidates, &Candidate::platform) + ": build it for that platform");
}

OciContents find_contents(const OciTexts& archive, const std::string& platform)
{
    Finder finder(archive);
    auto candidates = finder.find();
    for (auto& candidate : candidates)
        if (candidate.platform.empty())
            candidate.platform = finder.contents_of(candidate).platform;
    return finder.contents_of(choose(candidates, platform));
}

}  // namespace

Result<OciContents> find_oci_image(const OciTexts& archive, const std::string& platform)
{
    try {
        return find_contents(archive, platform);
    } catch (const Error& error) {
        return fail(error);
    } catch (const json::exception& error) {
        return fail(Errc::bad_request, std::string("its index is none of an image: ") + error.what());
    }
}

}  // namespace instancer::detail::inline oci
