// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "oci_digest.hpp"
#include "oci_index.hpp"

namespace instancer::detail::inline oci {
namespace {

using nlohmann::json;

/// What is there under `key`; null is as good as nothing.
const json& member(const json& object, const char* key)
{
    static const json nothing;
    const auto found = object.find(key);
    return found == object.end() ? nothing : *found;
}

/// Throws: it is something else, or what follows a zero byte would be lost.
std::string to_text(const json& value)
{
    auto text = value.is_null() ? std::string() : value.get<std::string>();
    if (text.find('\0') != text.npos)
        throw std::invalid_argument("a text holds a zero byte");
    return text;
}

std::vector<std::string> to_texts(const json& values)
{
    std::vector<std::string> texts;
    if (!values.is_null())
        for (const auto& value : values.get_ref<const json::array_t&>())
            texts.push_back(to_text(value));
    return texts;
}

std::vector<std::string> keys_of(const json& object)
{
    std::vector<std::string> keys;
    if (!object.is_null())
        for (const auto& [key, value] : object.get_ref<const json::object_t&>())
            keys.push_back(to_text(key));
    return keys;
}

std::string to_absolute(const std::string& path)
{
    const auto clean = (std::filesystem::path("/") / path).lexically_normal().string();
    return clean.size() > 1 && clean.ends_with('/') ? clean.substr(0, clean.size() - 1) : clean;
}

/// Of `9000/tcp`, or `9000`, which means the same; none of other protocols.
std::optional<std::uint16_t> to_tcp_port(std::string_view text)
{
    if (text.ends_with("/tcp"))
        text.remove_suffix(4);
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && port != 0 ? std::optional(port) : std::nullopt;
}

void read_runtime(const json& config, OciImage& image)
{
    image.entrypoint = to_texts(member(config, "Entrypoint"));
    image.command = to_texts(member(config, "Cmd"));
    image.user = to_text(member(config, "User"));
    image.working_directory = to_absolute(to_text(member(config, "WorkingDir")));
    for (const auto& line : to_texts(member(config, "Env"))) {
        const auto equals = line.find('=');
        if (equals != line.npos && equals != 0)
            image.env.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    }
    for (const auto& path : keys_of(member(config, "Volumes")))
        image.volumes.push_back(to_absolute(path));
    for (const auto& text : keys_of(member(config, "ExposedPorts")))
        if (const auto port = to_tcp_port(text))
            image.exposed_ports.push_back(*port);
    std::ranges::sort(image.exposed_ports);
}

std::string platform_of(const json& config)
{
    auto platform = to_text(member(config, "os")) + "/" + to_text(member(config, "architecture"));
    const auto variant = to_text(member(config, "variant"));
    return variant.empty() ? platform : platform + "/" + variant;
}

OciContents read_config(const json& config)
{
    OciContents contents;
    contents.platform = platform_of(config);
    if (const auto& runtime = member(config, "config"); !runtime.is_null())
        read_runtime(runtime, contents.image);
    else
        contents.image.working_directory = "/";
    for (const auto& diff_id : to_texts(config.at("rootfs").at("diff_ids"))) {
        if (!OciDigest::is_one(diff_id))
            throw std::invalid_argument("its rootfs names a layer by something else than SHA-256: " + diff_id);
        contents.layers.emplace_back(std::string(), diff_id);
    }
    return contents;
}

}  // namespace

Result<OciContents> parse_oci_config(std::string_view text)
{
    try {
        auto contents = read_config(json::parse(text));
        contents.image.digest = OciDigest::of(text);
        return contents;
    } catch (const std::exception& error) {  // Also of nlohmann/json.
        return fail(Errc::bad_request, std::string("it is no configuration of an image: ") + error.what());
    }
}

}  // namespace instancer::detail::inline oci
