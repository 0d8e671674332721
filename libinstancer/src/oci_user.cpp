// SPDX-License-Identifier: MIT
#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include <fcntl.h>

#include <instancer/backend/oci_user.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/text/split.hpp>

#include "oci_files.hpp"

namespace instancer {
namespace {

constexpr std::size_t most_bytes = 1 << 20;

/// The greatest number is what the system calls take for "leave it as it is".
std::optional<std::uint32_t> to_id(std::string_view text)
{
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && id != std::numeric_limits<std::uint32_t>::max() ? std::optional(id) : std::nullopt;
}

/// Rows of fields between colons, as in passwd(5) and group(5).
using Table = std::vector<std::vector<std::string>>;

Result<Table> read_table(int root, const std::string& path, std::size_t least_fields)
{
    const auto text = detail::read_inside(root, path, most_bytes);
    if (!text)
        return fail(text.error());
    Table table;
    for (const auto& line : split(*text, '\n')) {
        auto fields = split(line, ':');
        if (fields.size() >= least_fields && to_id(fields[2]))
            table.push_back(std::move(fields));
    }
    return table;
}

/// The first row of that number, or of that name if `text` is no number.
const std::vector<std::string>* find_row(const Table& table, const std::string& text)
{
    const auto id = to_id(text);
    const auto found =
        std::ranges::find_if(table, [&](const auto& row) { return id ? to_id(row[2]) == id : row[0] == text; });
    return found == table.end() ? nullptr : &*found;
}

Result<gid_t> find_group(const Table& groups, const std::string& text)
{
    const auto* const row = find_row(groups, text);
    const auto id = to_id(row ? (*row)[2] : text);
    if (!id)
        return fail(Errc::bad_request, "the image's /etc/group has no group " + text + "; name one by number");
    return *id;
}

std::vector<gid_t> groups_of(const Table& groups, const std::string& name)
{
    std::vector<gid_t> ids;
    for (const auto& row : groups) {
        const auto members = split(row[3], ',');
        if (std::ranges::find(members, name) != members.end())
            ids.push_back(*to_id(row[2]));
    }
    return ids;
}

/// The user, with the group that /etc/passwd gives it; its name there, which is empty if it has none.
Result<std::string> find_user(const Table& users, const std::string& text, OciUser& out)
{
    const auto* const row = find_row(users, text);
    const auto id = to_id(row ? (*row)[2] : text);
    if (!id)
        return fail(Errc::bad_request, "the image's /etc/passwd has no user " + text + "; name one by number");
    out.uid = *id;
    if (!row)
        return std::string();
    out.gid = to_id((*row)[3]).value_or(0);
    if (!(*row)[5].empty())
        out.home = (*row)[5];
    return (*row)[0];
}

}  // namespace

Result<OciUser> find_oci_user(const std::filesystem::path& root, std::string_view user)
{
    const UniqueFd directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory)
        return fail(last_error(), "opening the directory " + root.string());
    const auto users = read_table(directory.get(), "/etc/passwd", 6);
    const auto groups = read_table(directory.get(), "/etc/group", 4);
    if (!users || !groups)
        return fail((users ? groups.error() : users.error()));
    const auto colon = user.find(':');
    const std::string group(colon == user.npos ? std::string_view() : user.substr(colon + 1));
    const std::string name(user.substr(0, colon));
    OciUser out;
    const auto found = find_user(*users, name.empty() ? "0" : name, out);
    if (!found)
        return fail(found.error());
    if (group.empty()) {
        if (!found->empty())
            out.groups = groups_of(*groups, *found);
        return out;
    }
    const auto id = find_group(*groups, group);
    if (!id)
        return fail(id.error());
    out.gid = *id;
    return out;
}

}  // namespace instancer
