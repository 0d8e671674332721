// SPDX-License-Identifier: MIT
#include "flags/flag_owner.hpp"

#include <string>

namespace instancer::daemon {

Parsed<FileOwner> parse_file_owner(std::string_view text)
{
    constexpr std::uint64_t last = 0xfffffffe;
    const auto colon = text.find(':');
    const auto user = parse_count(text.substr(0, colon), 0, last);
    const auto group = colon == text.npos ? user : parse_count(text.substr(colon + 1), 0, last);
    if (!user || !group)
        return wrong(in_quotes(text) + " is no user by number; write UID or UID:GID, as in 0:1000");
    return FileOwner(static_cast<uid_t>(*user), static_cast<gid_t>(*group));
}

}  // namespace instancer::daemon
