// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>

#include <unistd.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL Execution execution_of(const std::string& path) noexcept
{
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        return Execution::unknown_path;
    if (S_ISDIR(status.st_mode))
        return Execution::directory;
    return S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0 ? Execution::possible
                                                                        : Execution::not_permitted;
}

INSTANCER_DECL std::string trouble_of(const std::string& path, const std::filesystem::path& formats)
{
    std::ifstream file(path, std::ios::binary);
    char head[256];
    file.read(head, sizeof head);
    const std::string_view text(head, static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    if (file.bad() || !file.is_open() || text.starts_with("\177ELF"))
        return {};
    if (!text.starts_with("#!") && may_have_other_format(path, text, formats))
        return {};
    if (begins_with_byte_order_mark(text))
        return "begins with a byte-order mark, behind which no #! counts; save it as UTF-8 without that";
    if (!text.starts_with("#!"))
        return std::string(no_program);
    const auto line = text.substr(0, text.find('\n'));
    if (line.ends_with('\r'))
        return "its lines end in CR LF, as on Windows, so its interpreter is not found; remove each CR, as sed -i "
               "'s/\\r$//' does";
    const auto begin = std::min(line.find_first_not_of(" \t", 2), line.size());
    const std::string interpreter(line.substr(begin, line.find_first_of(" \t", begin) - begin));
    if (!interpreter.starts_with('/') || execution_of(interpreter) == Execution::possible)
        return {};
    return "its first line names the interpreter " + interpreter +
           ", which is no program that can be run; install it or correct the line";
}

}  // namespace instancer::detail

namespace instancer {

INSTANCER_DECL Result<std::string> find_program(const ProcessOptions& options)
{
    using namespace detail;
    if (options.command.empty())
        return fail(Errc::bad_request, "no command is given");
    const auto& name = options.command.front();
    const auto varies = [](const std::string& text) { return text.find("{dir}") != std::string::npos; };
    if (name.find('/') != std::string::npos) {
        const bool relative = name.front() != '/';
        if (varies(name) || (relative && varies(options.working_directory)))
            return name;
        const bool elsewhere = relative && !options.working_directory.empty();
        const auto wrong = [&](const std::string& what) { return fail(Errc::bad_request, name + ": " + what); };
        const auto path = elsewhere ? options.working_directory + "/" + name : name;
        switch (execution_of(path)) {
        case Execution::possible:
            if (const auto trouble = trouble_of(path); !trouble.empty())
                return wrong(trouble);
            return name;
        case Execution::unknown_path: return wrong(std::strerror(errno) + std::string("; correct the path"));
        case Execution::directory: return wrong("is a directory; correct the path");
        case Execution::not_permitted: break;
        }
        return wrong("is not executable; chmod +x it, or name its interpreter first");
    }
    std::string path(default_search_path);
    for (const auto& [key, value] : options.env)
        if (key == "PATH")
            path = value;
    for (std::size_t begin = 0; begin <= path.size();) {
        const auto end = std::min(path.find(':', begin), path.size());
        const auto directory = path.substr(begin, end - begin);
        // A relative directory would be another one for the instance.
        const auto candidate = directory + "/" + name;
        if (directory.starts_with('/') && execution_of(candidate) == Execution::possible)
            return candidate;
        begin = end + 1;
    }
    const auto local = (options.working_directory.empty() ? "." : options.working_directory) + "/" + name;
    if (execution_of(local) == Execution::possible)
        return fail(Errc::bad_request,
                    "there is no program '" + name + "' in " + path + "; did you mean ./" + name + "?");
    return fail(Errc::bad_request, "there is no program '" + name + "' in " + path +
                                       "; install it, write its path, or set PATH in its environment");
}

}  // namespace instancer
